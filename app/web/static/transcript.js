// The texts of the open thread: new ones in their place, earlier ones on demand, pictures, countdowns.
"use strict";

// --- Texts in their place ---

const getLastTextId = () => [...document.querySelectorAll(".texts > article")].at(-1)?.id;

// A person who has scrolled up is not moved; a link leads down to new texts. The log is a reversed
// flex box: scrollTop is 0 at its end and negative above.
const isScrolledUp = () => (document.querySelector(".transcript")?.scrollTop ?? 0) < -120;

// Runs a change of the texts; if it adds new ones below what a person reads, the link down appears.
function changeTexts(change) {
  const newest = getLastTextId();
  change();
  groupTexts();
  const jump = document.querySelector(".jump");
  if (jump && newest && getLastTextId() !== newest && isScrolledUp()) jump.hidden = false;
  noteShown([...document.querySelectorAll(".texts > [data-seq]")].at(-1)?.dataset.seq);
}

// A text goes on if the same writer wrote the one above it on the same day.
function groupTexts() {
  for (const text of document.querySelectorAll(".texts > .text")) {
    const above = text.previousElementSibling;
    text.classList.toggle("goes-on", Boolean(text.dataset.seq) && above?.dataset.writer === text.dataset.writer);
  }
}

// Puts texts into the transcript. `asked`: the ids that were asked for; one that the server does not
// return is gone. Returns false if texts between are missing.
function placeTexts(fresh, asked) {
  const texts = document.querySelector(".texts");
  const showsNewest = !texts.querySelector(":scope > [data-key=later]");
  let heading = null, isWhole = true;
  for (const node of [...fresh.children]) {
    if (node.matches(".day")) { heading = node; continue; }
    const here = document.getElementById(node.id);
    if (here && here.dataset.seq === node.dataset.seq) { merge(here, node); continue; }
    here?.remove();
    if (!showsNewest) continue;
    isWhole = placeText(texts, node, heading) && isWhole;
  }
  const found = new Set([...fresh.children].map((node) => node.id));
  for (const id of asked) if (!found.has(id)) document.getElementById(id)?.remove();
  return isWhole;
}

function placeText(texts, text, heading) {
  const articles = [...texts.querySelectorAll(":scope > article")], seq = Number(text.dataset.seq ?? Infinity);
  const next = articles.find((other) => Number(other.dataset.seq ?? Infinity) > seq) ?? null;
  const numbered = articles.filter((other) => other.dataset.seq && Number(other.dataset.seq) < seq);
  if (seq < Infinity && !numbered.length && texts.querySelector(":scope > .earlier")) return true;  // not loaded yet
  texts.querySelector(":scope > .empty")?.remove();
  const isKnownDay = [...texts.querySelectorAll(":scope > .day")].some((day) => day.dataset.key === heading.dataset.key);
  if (!isKnownDay && text.dataset.seq) texts.insertBefore(document.importNode(heading, true), next);
  texts.insertBefore(document.importNode(text, true), next);
  return seq === Infinity || !numbered.length || Number(numbered.at(-1).dataset.seq) === seq - 1;
}

// --- Earlier texts ---

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

let isLoadingEarlier = false, topObserver = null;

async function loadEarlier() {
  const link = document.querySelector(".texts > .earlier a"), texts = document.querySelector(".texts");
  if (!link || isLoadingEarlier) return;
  isLoadingEarlier = true;
  link.parentElement.setAttribute("aria-busy", "true");
  try {
    const { page } = await fetchFragment(link.href, "opened");
    const fresh = page.querySelector(".texts");
    texts.querySelector(":scope > .earlier")?.remove();
    for (const later of fresh.querySelectorAll(":scope > [data-key=later]")) later.remove();
    texts.prepend(...[...fresh.children].map((node) => document.importNode(node, true)));
    removeRepeatedDays(texts);
    watchEarlier();
  } catch {
    link.parentElement.removeAttribute("aria-busy");
  } finally {
    isLoadingEarlier = false;
  }
}

function watchEarlier() {
  topObserver?.disconnect();
  const link = document.querySelector(".texts > .earlier a");
  if (!link) return;
  const load = (entries) => { if (entries.some((entry) => entry.isIntersecting)) loadEarlier(); };
  topObserver = new IntersectionObserver(load, { root: link.closest(".transcript"), rootMargin: "300px 0px 0px" });
  topObserver.observe(link);
}

document.addEventListener("click", (event) => {
  const transcript = document.querySelector(".transcript");
  if (event.target.closest(".texts > .earlier a")) {
    event.preventDefault();
    transcript.focus();
    loadEarlier();
  }
  // The browser's own jump to an anchor would also move the panels around the transcript.
  if (event.target.closest(".jump")) {
    event.preventDefault();
    transcript.scrollTop = 0;
    transcript.focus({ preventScroll: true });
  }
  const picture = event.target.closest(".media a:has(img)");
  if (picture && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
    event.preventDefault();
    showPicture(picture);
  }
});

document.addEventListener("scroll", (event) => {
  if (event.target.matches?.(".transcript") && !isScrolledUp()) document.querySelector(".jump").hidden = true;
}, { capture: true });

// A picture opens above the page; Escape, its button or a click beside it leads back to where one was.
function showPicture(link) {
  const dialog = document.createElement("dialog"), image = new Image(), close = document.createElement("button");
  dialog.className = "picture";
  dialog.setAttribute("aria-label", link.querySelector("img").alt);
  [image.src, image.alt, close.textContent] = [link.href, link.querySelector("img").alt, "Close"];
  dialog.append(image, close);
  document.body.append(dialog);
  dialog.addEventListener("click", (event) => { if (event.target !== image) dialog.close(); });
  dialog.addEventListener("close", () => { dialog.remove(); link.focus({ preventScroll: true }); });
  dialog.showModal();
}

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

// "3 min" becomes "4 min". Older times change once a day; the server words them.
function updateAges() {
  for (const time of document.querySelectorAll("#list time")) {
    const age = Math.floor((Date.now() - clockAhead - Date.parse(time.dateTime)) / 60_000);
    if (age >= 60) continue;
    time.textContent = age < 1 ? "now" : `${age} min`;
  }
}

// --- What the person has seen ---

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
