// Reading and sending work without this file. It adds live updates, the countdown, the segment
// counter and drafts that survive a reload.
"use strict";

document.documentElement.classList.add("live");

// The server formats times in this time zone.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
if (zone && !document.cookie.split("; ").includes(`zone=${zone}`)) {
  document.cookie = `zone=${zone}; path=/; max-age=31536000; samesite=lax`;
  if (document.cookie.includes(`zone=${zone}`)) location.reload();
}

// --- Writing ---

function setUpCompose() {
  const form = document.querySelector("form.compose");
  if (!form) return;
  const box = form.elements.message;
  const counter = form.querySelector(".counter");
  const replacements = form.dataset.twins ? JSON.parse(form.dataset.twins) : null;
  const draft = `draft ${form.dataset.draft ?? location.pathname}`;
  box.autocomplete = "off";  // on a step back the browser would restore a text that was sent
  deleteSentDraft(draft);
  const saveDraft = () => {
    counter.textContent = describeLength(box.value, replacements);
    if (box.value) sessionStorage.setItem(draft, box.value);
    else sessionStorage.removeItem(draft);
  };
  if (!box.value) box.value = sessionStorage.getItem(draft) ?? "";
  saveDraft();
  let hasText = box.value !== "";
  box.addEventListener("input", () => {
    if (!hasText && form.elements.seen) markSeen(form.elements.seen, form.elements.seen.dataset.shown);
    hasText = box.value !== "";
    saveDraft();
  });
  box.addEventListener("keydown", (event) => {
    // An input method is still composing: Safari says so by the key code alone.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    if (box.value.trim()) form.requestSubmit();
  });
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) event.preventDefault();  // a second Enter before the answer to the first
    form.dataset.sent = "yes";
    // The draft is deleted after the text was accepted.
    sessionStorage.setItem("sent", JSON.stringify({ sent: draft, last: getLastTextId() }));
  });
  const canned = form.querySelector("select.canned");
  if (canned) canned.addEventListener("change", () => {
    const text = canned.selectedOptions[0].dataset.text;
    if (text) box.setRangeText(text, box.selectionStart, box.selectionEnd, "end");
    canned.selectedIndex = 0;
    box.focus();
    saveDraft();
  });
  // After a send or a refusal, the person can go on writing.
  if (location.hash !== "#newest" && !document.getElementById("refused")) return;
  box.focus({ preventScroll: true });
}

// Deletes the draft of a text that was accepted. "#newest" means that the text was accepted, perhaps
// into another thread. "navigate" excludes a step back in the history to the page of an earlier send.
// If the answer to the send was lost, the text itself tells that it was accepted.
function deleteSentDraft(draft) {
  const [{ type }] = performance.getEntriesByType("navigation");
  const { sent, last } = JSON.parse(sessionStorage.getItem("sent") ?? "{}");
  const accepted = location.hash === "#newest" && type === "navigate";
  if (!sent || !accepted && sent !== draft) return;
  sessionStorage.removeItem("sent");
  if (accepted || standsBelow(last, sessionStorage.getItem(draft))) sessionStorage.removeItem(sent);
}

// Whether a person's text with these words stands below the text with the id `last`.
function standsBelow(last, words) {
  const texts = [...document.querySelectorAll(".texts > article")];
  const start = texts.findIndex((text) => text.id === last);
  if (last && start < 0) return false;
  return texts.slice(start + 1).some(
    (text) => text.matches(".manual") && text.querySelector(".words")?.textContent === words);
}

// A form that creates something is submitted once, however often its button is pressed.
for (const form of document.querySelectorAll("form.once")) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "yes";
  });
}
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});

// A menu that is used with the pointer takes effect at once. Arrow keys change its value with each
// step, so after a key press the form waits for its button.
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
  delete form.dataset.hold;  // left without pressing the button: restore the old value
  form.reset();
});
document.addEventListener("submit", (event) => {
  if (event.target.matches('[action="/sign-out"]')) sessionStorage.clear();
});

// --- Time ---

let clockAhead = 0;  // ms that this clock is ahead of the server's

function setClock(body) {
  clockAhead = Date.now() - Date.parse(body.dataset.now);
}

function updateCountdowns() {
  for (const time of document.querySelectorAll("[data-until]")) {
    const left = Math.ceil((Date.parse(time.dataset.until) + clockAhead - Date.now()) / 1000);
    const label = `${Math.max(0, left)} s`;
    if (time.textContent !== label) time.textContent = label;
  }
}

// --- Staying up to date ---

const LIVE_SELECTORS = ["#list nav", "#leads", "#pages", "main.thread > header", ".texts", ".state", "#asks", "#offer", "aside.contact"];
const getKey = (node) => node.id || node.dataset?.key || "";

// Makes `here` equal to `there`. Nodes that did not change stay the same nodes, which keeps the focus,
// unfinished input and the position of a screen reader.
function merge(here, there) {
  if (here.isEqualNode(there) || here.dataset?.hold) return;
  if (here.nodeType !== Node.ELEMENT_NODE) { here.nodeValue = there.nodeValue; return; }
  for (const { name } of [...here.attributes]) {
    if (!there.hasAttribute(name) && name !== "open") here.removeAttribute(name);
  }
  for (const { name, value } of there.attributes) {
    if (here.getAttribute(name) !== value) here.setAttribute(name, value);
  }
  const wanted = new Set([...there.children].map(getKey));
  for (const child of [...here.children]) if (getKey(child) && !wanted.has(getKey(child))) child.remove();
  const known = new Map([...here.children].map((child) => [getKey(child), child]));
  let at = here.firstChild;
  for (const child of [...there.childNodes]) {
    const alike = at && !getKey(at) && at.nodeName === child.nodeName ? at : undefined;
    const same = getKey(child) ? known.get(getKey(child)) : alike;
    if (!same || same.nodeName !== child.nodeName) {
      here.insertBefore(document.importNode(child, true), at);
      continue;
    }
    if (same === at) at = at.nextSibling;
    else here.insertBefore(same, at);
    merge(same, child);
  }
  while (at) { const next = at.nextSibling; at.remove(); at = next; }
}

// Removes repeated day headings after pages were joined.
function removeRepeatedDays(texts) {
  let last = "";
  for (const heading of texts.querySelectorAll(":scope > .day")) {
    if (heading.dataset.key === last) heading.remove();
    else last = heading.dataset.key;
  }
}

// Puts the earlier texts that are already loaded above the newest page, so that `merge` keeps them.
function keepEarlier(here, there) {
  const first = there.querySelector(":scope > article");
  const start = first && document.getElementById(first.id);
  if (!start || start.parentElement !== here) return;
  const earlier = [];
  for (let node = start.previousElementSibling; node; node = node.previousElementSibling) earlier.unshift(node);
  if (!earlier.some((node) => node.matches("article"))) return;
  there.querySelector(":scope > .earlier")?.remove();
  there.prepend(...earlier.map((node) => node.cloneNode(true)));
  removeRepeatedDays(there);
}

let isLoadingEarlier = false;

async function loadEarlier() {
  const link = document.querySelector(".texts > .earlier a");
  if (!link || isLoadingEarlier) return;
  isLoadingEarlier = true;
  link.parentElement.setAttribute("aria-busy", "true");
  try {
    const page = await fetchPage(link.href);
    const fresh = page.querySelector(".texts"), texts = document.querySelector(".texts");
    texts.querySelector(":scope > .earlier")?.remove();
    for (const link of fresh.querySelectorAll(":scope > [data-key=later]")) link.remove();
    texts.prepend(...[...fresh.children].map((node) => document.importNode(node, true)));
    removeRepeatedDays(texts);
    watchEarlier();
  } catch {
    link.parentElement.removeAttribute("aria-busy");
  } finally {
    isLoadingEarlier = false;
  }
}

const topObserver = new IntersectionObserver(
  (entries) => { if (entries.some((entry) => entry.isIntersecting)) loadEarlier(); },
  { root: document.querySelector(".transcript"), rootMargin: "300px 0px 0px" },
);

function watchEarlier() {
  topObserver.disconnect();
  const link = document.querySelector(".texts > .earlier a");
  if (link) topObserver.observe(link);
}

document.addEventListener("click", (event) => {
  if (!event.target.closest(".texts > .earlier a")) return;
  event.preventDefault();
  document.querySelector(".transcript").focus();
  loadEarlier();
});

// A person who has scrolled up is not moved; a link leads down to new texts. The log is a reversed
// flex box: scrollTop is 0 at its end and negative above.
const isScrolledUp = () => (document.querySelector(".transcript")?.scrollTop ?? 0) < -120;
const getLastTextId = () => [...document.querySelectorAll(".texts > article")].at(-1)?.id;

// The browser's own jump to an anchor would also move the panels around the transcript.
document.querySelector(".jump")?.addEventListener("click", (event) => {
  event.preventDefault();
  document.querySelector(".transcript").scrollTop = 0;
  document.querySelector(".transcript").focus({ preventScroll: true });
});

document.querySelector(".transcript")?.addEventListener("scroll", () => {
  if (!isScrolledUp()) document.querySelector(".jump").hidden = true;
});

class SignedOut extends Error {}

// Fetches a page as a document. Throws `SignedOut` if the server redirects or answers 404.
async function fetchPage(address) {
  const answer = await fetch(address);
  if (answer.redirected || answer.status === 404) throw new SignedOut();
  if (!answer.ok) throw new Error(`${answer.status}`);
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}

async function refresh() {
  const fresh = await fetchPage(document.body.dataset.here);
  const newest = getLastTextId();
  setClock(fresh.body);
  for (const selector of LIVE_SELECTORS) {
    const here = document.querySelector(selector), there = fresh.querySelector(selector);
    if (!here || !there) continue;
    if (selector === ".texts") keepEarlier(here, there);
    merge(here, there);
  }
  watchEarlier();
  updateCountdowns();
  if (getLastTextId() !== newest && isScrolledUp()) document.querySelector(".jump").hidden = false;
  noteShown(fresh.querySelector("form.compose [name=seen]")?.value);
}

// A text counts as seen after a second on the screen, or when the person starts to write. If a newer
// text of the lead is not seen yet, the server asks before it sends.
const SEEN_AFTER = 1000;
function noteShown(newest) {
  const seen = document.querySelector("form.compose [name=seen]");
  if (!seen || newest === undefined || seen.value === newest) return;
  seen.dataset.shown = newest;
  setTimeout(() => { if (document.hasFocus()) markSeen(seen, newest); }, SEEN_AFTER);
}
function markSeen(seen, newest) {
  if (Number(seen.value) < Number(newest)) seen.value = newest;
}

// Delays before a refresh, in ms: after an event in this thread, and after one in another thread.
const DELAY = 250, DELAY_ELSEWHERE = 1000, MAX_DELAY = 15_000;
let timer = null, due = 0, refreshing = false, nextDelay = null, failures = 0;

function refreshSoon(delay = DELAY) {
  if (refreshing) {  // the answer may have been rendered before this event
    nextDelay = Math.min(nextDelay ?? delay, delay);
    return;
  }
  const wait = Math.min(delay * 2 ** failures, MAX_DELAY);
  if (timer !== null && due <= performance.now() + wait) return;
  clearTimeout(timer);
  due = performance.now() + wait;
  timer = setTimeout(refreshNow, wait);
}

async function refreshNow() {
  [timer, refreshing, nextDelay] = [null, true, null];
  try {
    await refresh();
    failures = 0;
  } catch (error) {
    if (error instanceof SignedOut) { location.assign(document.body.dataset.here); return; }
    failures += 1;
    nextDelay = DELAY;
  }
  refreshing = false;
  showConnectionLost(failures > 0);
  if (nextDelay !== null) refreshSoon(nextDelay);
}

function handleEvent(event) {
  const { interactionIds } = JSON.parse(event.data);
  const here = interactionIds.some((id) => location.pathname.includes(id));
  refreshSoon(here || !document.querySelector(".texts") ? DELAY : DELAY_ELSEWHERE);
}

function showConnectionLost(isLost) {
  const line = document.getElementById("connection");
  if (line) line.hidden = !isLost;
}

let stream = null;

function listen() {
  stream = new EventSource("/conversations/events");
  stream.onmessage = handleEvent;
  stream.onopen = () => refreshSoon();  // events may have been missed while the connection was down
  stream.onerror = () => {
    refreshSoon();  // shows a line if the server is away
    // After a refusal the browser does not reconnect by itself.
    if (stream.readyState === EventSource.CLOSED) setTimeout(restartStream, 3000);
  };
}

// A hidden page has no stream: browsers allow few connections per host, and nobody reads the page.
function restartStream() {
  stream?.close();
  if (!document.hidden) listen();
}

if (document.body.classList.contains("app")) {
  setClock(document.body);
  setUpCompose();
  watchEarlier();
  setInterval(updateCountdowns, 250);
  updateCountdowns();
  restartStream();
  setInterval(() => { if (!document.hidden) refreshSoon(); }, 60_000);  // "3 min" becomes "4 min"
  document.addEventListener("visibilitychange", restartStream);
  addEventListener("focus", () => refreshSoon());
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
}
