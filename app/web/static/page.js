// The page without this file reads and sends; with it, it lives: what happens appears by itself,
// the countdown runs, segments are counted, and drafts survive.
"use strict";

document.documentElement.classList.add("live");

// The person's zone, for every time the server writes.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
if (zone && !document.cookie.split("; ").includes(`zone=${zone}`)) {
  document.cookie = `zone=${zone}; path=/; max-age=31536000; samesite=lax`;
  if (document.cookie.includes(`zone=${zone}`)) location.reload();
}

// --- Writing ---

function compose() {
  const form = document.querySelector("form.compose");
  if (!form) return;
  const box = form.elements.message;
  const counter = form.querySelector(".counter");
  const twins = form.dataset.twins ? JSON.parse(form.dataset.twins) : null;
  const draft = `draft ${location.pathname}`;
  forgetSent();
  const changed = () => {
    counter.textContent = counted(box.value, twins);
    if (box.value) sessionStorage.setItem(draft, box.value);
    else sessionStorage.removeItem(draft);
  };
  if (!box.value) box.value = sessionStorage.getItem(draft) ?? "";
  changed();
  let begun = box.value !== "";
  box.addEventListener("input", () => {
    if (!begun) see(form.elements.seen, form.elements.seen.dataset.shown);
    begun = box.value !== "";
    changed();
  });
  box.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    if (box.value.trim()) form.requestSubmit();
  });
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) event.preventDefault();  // a second Enter before the first was answered
    form.dataset.sent = "yes";
    sessionStorage.setItem("sending", draft);  // which stays until the text was taken
  });
  const canned = form.querySelector("select.canned");
  if (canned) canned.addEventListener("change", () => {
    const text = canned.selectedOptions[0].dataset.text;
    if (text) box.setRangeText(text, box.selectionStart, box.selectionEnd, "end");
    canned.selectedIndex = 0;
    box.focus();
    changed();
  });
  // Who has just sent writes on.
  if (location.hash !== "#newest" && !document.getElementById("refused")) return;
  box.focus({ preventScroll: true });
}

// A text that was taken is no draft any more. It may stand in another thread than it was written in,
// and who goes back to where an earlier one had been taken has not sent this one.
function forgetSent() {
  const [{ type }] = performance.getEntriesByType("navigation");
  const sent = sessionStorage.getItem("sending");
  sessionStorage.removeItem("sending");
  if (sent && location.hash === "#newest" && type === "navigate") sessionStorage.removeItem(sent);
}

// A form that makes something makes it once, however often its button is pressed.
for (const form of document.querySelectorAll("form.once")) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "yes";
  });
}
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});

// A menu acts at once when it was opened and chosen from; keys walk it, and then there is a button.
document.addEventListener("keydown", (event) => {
  if (event.target.matches?.("select.at-once") && event.key !== "Tab") event.target.form.dataset.hold = "keys";
});
document.addEventListener("pointerdown", (event) => {
  if (event.target.matches?.("select.at-once")) delete event.target.form.dataset.hold;
});
document.addEventListener("change", (event) => {
  if (!event.target.matches("select.at-once") || event.target.value === "custom") return;
  if (!event.target.form.dataset.hold) event.target.form.requestSubmit();
});
document.addEventListener("focusout", (event) => {
  const form = event.target.closest("form[data-hold]");
  if (!form || form.contains(event.relatedTarget)) return;
  delete form.dataset.hold;  // walked away without setting it
  form.reset();
});
document.addEventListener("submit", (event) => {
  if (event.target.matches('[action="/sign-out"]')) sessionStorage.clear();
});

// --- Time ---

let ahead = 0;  // how far our clock is ahead of the server's, in ms

function clock(shown) {
  ahead = Date.now() - Date.parse(shown.dataset.now);
}

function countdown() {
  for (const time of document.querySelectorAll("[data-until]")) {
    const left = Math.ceil((Date.parse(time.dataset.until) + ahead - Date.now()) / 1000);
    const said = `${Math.max(0, left)} s`;
    if (time.textContent !== said) time.textContent = said;
  }
}

// --- Staying up to date ---

const LIVE = ["#list nav", "#pages", "main.thread > header", ".texts", ".state", "#asks", "#offer", "aside.contact"];
const keyOf = (node) => node.id || node.dataset?.key || "";

// Makes `here` what `there` is. Nodes that did not change stay the same nodes, so that focus,
// what is being written, and what a screen reader has read stay as they are.
function become(here, there) {
  if (here.isEqualNode(there) || here.dataset?.hold) return;
  if (here.nodeType !== Node.ELEMENT_NODE) { here.nodeValue = there.nodeValue; return; }
  for (const { name } of [...here.attributes]) {
    if (!there.hasAttribute(name) && name !== "open") here.removeAttribute(name);
  }
  for (const { name, value } of there.attributes) {
    if (here.getAttribute(name) !== value) here.setAttribute(name, value);
  }
  const wanted = new Set([...there.children].map(keyOf));
  for (const child of [...here.children]) if (keyOf(child) && !wanted.has(keyOf(child))) child.remove();
  const known = new Map([...here.children].map((child) => [keyOf(child), child]));
  let at = here.firstChild;
  for (const child of [...there.childNodes]) {
    const alike = at && !keyOf(at) && at.nodeName === child.nodeName ? at : undefined;
    const same = keyOf(child) ? known.get(keyOf(child)) : alike;
    if (!same || same.nodeName !== child.nodeName) {
      here.insertBefore(document.importNode(child, true), at);
      continue;
    }
    if (same === at) at = at.nextSibling;
    else here.insertBefore(same, at);
    become(same, child);
  }
  while (at) { const next = at.nextSibling; at.remove(); at = next; }
}

// One heading for each day, however many pages were put together.
function days(texts) {
  let last = "";
  for (const heading of texts.querySelectorAll(":scope > .day")) {
    if (heading.dataset.key === last) heading.remove();
    else last = heading.dataset.key;
  }
}

// The newest page, below what was loaded upwards.
function keepEarlier(here, there) {
  const first = there.querySelector(":scope > article");
  const start = first && document.getElementById(first.id);
  if (!start || start.parentElement !== here) return;
  const earlier = [];
  for (let node = start.previousElementSibling; node; node = node.previousElementSibling) earlier.unshift(node);
  if (!earlier.some((node) => node.matches("article"))) return;
  there.querySelector(":scope > .earlier")?.remove();
  there.prepend(...earlier.map((node) => node.cloneNode(true)));
  days(there);
}

let earlierOnItsWay = false;

async function loadEarlier() {
  const link = document.querySelector(".texts > .earlier a");
  if (!link || earlierOnItsWay) return;
  earlierOnItsWay = true;
  link.parentElement.setAttribute("aria-busy", "true");
  try {
    const page = await read(link.href);
    const fresh = page.querySelector(".texts"), texts = document.querySelector(".texts");
    texts.querySelector(":scope > .earlier")?.remove();
    for (const left of fresh.querySelectorAll(":scope > [data-key=later]")) left.remove();
    texts.prepend(...[...fresh.children].map((node) => document.importNode(node, true)));
    days(texts);
    watchEarlier();
  } catch {
    link.parentElement.removeAttribute("aria-busy");
  } finally {
    earlierOnItsWay = false;
  }
}

const nearTheTop = new IntersectionObserver(
  (seen) => { if (seen.some((one) => one.isIntersecting)) loadEarlier(); },
  { root: document.querySelector(".transcript"), rootMargin: "300px 0px 0px" },
);

function watchEarlier() {
  nearTheTop.disconnect();
  const link = document.querySelector(".texts > .earlier a");
  if (link) nearTheTop.observe(link);
}

document.addEventListener("click", (event) => {
  if (!event.target.closest(".texts > .earlier a")) return;
  event.preventDefault();
  document.querySelector(".transcript").focus();
  loadEarlier();
});

// Who reads further up is not moved; a link leads down to what is new. (The log is reversed: its
// end is at 0, and upwards is below that.)
const scrolledUp = () => (document.querySelector(".transcript")?.scrollTop ?? 0) < -120;
const lastText = () => [...document.querySelectorAll(".texts > article")].at(-1)?.id;

// Not by the browser's own jump: that would move whatever lies around the transcript, too.
document.querySelector(".jump")?.addEventListener("click", (event) => {
  event.preventDefault();
  document.querySelector(".transcript").scrollTop = 0;
  document.querySelector(".transcript").focus({ preventScroll: true });
});

document.querySelector(".transcript")?.addEventListener("scroll", () => {
  if (!scrolledUp()) document.querySelector(".jump").hidden = true;
});

class SignedOut extends Error {}

// A page of ours, as the server would show it now.
async function read(address) {
  const answer = await fetch(address);
  if (answer.redirected || answer.status === 404) throw new SignedOut();
  if (!answer.ok) throw new Error(`${answer.status}`);
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}

async function refresh() {
  const fresh = await read(document.body.dataset.here);
  const newest = lastText();
  clock(fresh.body);
  for (const place of LIVE) {
    const here = document.querySelector(place), there = fresh.querySelector(place);
    if (!here || !there) continue;
    if (place === ".texts") keepEarlier(here, there);
    become(here, there);
  }
  watchEarlier();
  countdown();
  if (lastText() !== newest && scrolledUp()) document.querySelector(".jump").hidden = false;
  look(fresh.querySelector("form.compose [name=seen]")?.value);
}

// What stood on the screen for a moment counts as seen, and what stood there when a text was begun;
// a text sent before that is asked about.
const A_LOOK = 1000;
function look(newest) {
  const seen = document.querySelector("form.compose [name=seen]");
  if (!seen || newest === undefined || seen.value === newest) return;
  seen.dataset.shown = newest;
  setTimeout(() => { if (document.hasFocus()) see(seen, newest); }, A_LOOK);
}
function see(seen, newest) {
  if (Number(seen.value) < Number(newest)) seen.value = newest;
}

// Pauses before looking again, in ms: after something in this thread, and in another one.
const PAUSE = 250, PAUSE_ELSEWHERE = 1000, LONGEST_WAIT = 15_000;
let timer = null, due = 0, looking = false, again = null, failures = 0;

function soon(pause = PAUSE) {
  if (looking) {  // what is on its way may have been written before this happened
    again = Math.min(again ?? pause, pause);
    return;
  }
  const wait = Math.min(pause * 2 ** failures, LONGEST_WAIT);
  if (timer !== null && due <= performance.now() + wait) return;
  clearTimeout(timer);
  due = performance.now() + wait;
  timer = setTimeout(lookAgain, wait);
}

async function lookAgain() {
  [timer, looking, again] = [null, true, null];
  try {
    await refresh();
    failures = 0;
  } catch (error) {
    if (error instanceof SignedOut) { location.assign(document.body.dataset.here); return; }
    failures += 1;
    again = PAUSE;
  }
  looking = false;
  trouble(failures > 0);
  if (again !== null) soon(again);
}

function happened(event) {
  const { interactionIds } = JSON.parse(event.data);
  const here = interactionIds.some((id) => location.pathname.includes(id));
  soon(here || !document.querySelector(".texts") ? PAUSE : PAUSE_ELSEWHERE);
}

function trouble(is) {
  const line = document.getElementById("connection");
  if (line) line.hidden = !is;
}

let stream = null;

function listen() {
  stream = new EventSource("/conversations/events");
  stream.onmessage = happened;
  stream.onopen = () => soon();  // what happened while the connection was down
  stream.onerror = () => {
    soon();  // says so, if the server is away
    if (stream.readyState === EventSource.CLOSED) setTimeout(attend, 3000);  // refused: it would not come again
  };
}

// A hidden page does not listen: browsers open few connections, and its texts are not read.
function attend() {
  stream?.close();
  if (!document.hidden) listen();
}

if (document.body.classList.contains("app")) {
  clock(document.body);
  compose();
  watchEarlier();
  setInterval(countdown, 250);
  countdown();
  attend();
  setInterval(() => { if (!document.hidden) soon(); }, 60_000);  // "3 min" becomes "4 min"
  document.addEventListener("visibilitychange", attend);
  addEventListener("focus", () => soon());
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
}
