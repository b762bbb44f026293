// Stays up to date: a stream says what changed, and the page fetches that alone.
"use strict";

// Delays before a fetch, in ms: after a change in the open thread, and after one elsewhere.
const DELAY = 20, DELAY_ELSEWHERE = 500, MAX_DELAY = 15_000, MAX_CHANGES = 50;
const SILENCE = 40_000;  // ms; the stream says something every 15 s
const ABSENCE = 60_000;  // ms; a page that was hidden for longer is fetched anew

const news = new Map();  // by thread id; "" is what may concern every thread
let timer = null, due = 0, isFetching = false, failures = 0, isStale = false;
let stream = null, silence = null, lastEvent = document.body.dataset.after, hiddenSince = 0;

const getOpenId = () => PLACE.exec(shown.pathname)?.[1]?.slice(1) ?? "";
const isOpen = () => Boolean(document.querySelector(".texts")) && getOpenId() !== "new";

function handleEvent(event) {
  lastEvent = event.lastEventId;
  watchSilence();
  let delay = DELAY_ELSEWHERE;
  for (const [id, change] of Object.entries(JSON.parse(event.data))) {
    const known = news.get(id) ?? { row: false, texts: new Set(), parts: "" };
    known.row ||= change.row;
    for (const text of change.texts) known.texts.add(text);
    if (change.parts === "contact" || !known.parts) known.parts = change.parts;
    news.set(id, known);
    if (id === getOpenId()) delay = DELAY;
  }
  fetchSoon(delay);
}

function fetchRow(id) {
  const known = news.get(id) ?? { row: true, texts: new Set(), parts: "" };
  news.set(id, { ...known, row: true });
  fetchSoon();
}

function fetchSoon(delay = DELAY) {
  if (isFetching) return;  // what came meanwhile is fetched after it
  const wait = Math.min(delay * 2 ** failures, MAX_DELAY);
  if (timer !== null && due <= performance.now() + wait) return;
  clearTimeout(timer);
  due = performance.now() + wait;
  timer = setTimeout(fetchChanges, wait);
}

async function fetchChanges() {
  timer = null;
  if (isMoving) { fetchSoon(100); return; }
  isFetching = true;
  await sending;  // the answer to a send shows the same text
  const taken = new Map(news), wasStale = isStale;
  news.clear();
  isStale = false;  // what comes meanwhile sets it again
  try {
    const count = [...taken.values()].reduce((sum, change) => sum + 1 + change.texts.size, 0);
    if (wasStale || count > MAX_CHANGES) await refresh();
    else await fetchOnly(taken);
    failures = 0;
  } catch (error) {
    if (error instanceof OtherPage) { location.assign(shown); return; }
    failures += 1;
    isStale = true;
    showConnectionLost(true);
  }
  isFetching = false;
  if (news.size || isStale) fetchSoon(isStale ? 250 : DELAY);
}

// Fetches what changed: rows of the list, and texts and parts of the open thread.
async function fetchOnly(taken) {
  const open = isOpen() ? getOpenId() : "", { list } = splitQuery(shown), own = taken.get(open);
  const texts = open && own ? [...own.texts] : [];
  const parts = open ? [own?.parts, taken.get("")?.parts].includes("contact") ? "contact" : own?.parts ?? "" : "";
  const rows = [...taken].filter(([id, change]) => id && change.row).map(([id]) => id);
  if (rows.length && list.get("search")) {  // what a search finds is for the server to say
    showList((await fetchFragment(shown, "list")).page);
    rows.length = 0;
  }
  if (!rows.length && !texts.length && !parts) return;
  const asked = new URLSearchParams([...list, ["rows", rows], ["texts", texts], ["parts", parts]]);
  if (texts.length || parts) asked.set("opened", open);
  const { page } = await fetchFragment(`/conversations/changes?${asked}`, "changes");
  setClock(page.body);
  if (open === (isOpen() ? getOpenId() : "")) showThreadChanges(page, texts);
  placeRows(page.getElementById("rows"), rows, list.has("cursor"));
}

function showThreadChanges(page, textIds) {
  const fresh = page.querySelector(".texts");
  if (!fresh) return;
  changeTexts(() => { if (!placeTexts(fresh, textIds)) isStale = true; });
  fresh.remove();  // the other parts are merged whole
  mergeParts(page);
  updateCountdowns();
  settleFocus();
}

// Puts rows into the list: those that need a person first, then by their newest text.
function placeRows(fresh, ids, isLaterPage) {
  const nav = document.querySelector("#list nav"), first = nav.querySelector("[data-key=first]");
  for (const id of ids) {
    const row = fresh.querySelector(`:scope > [data-key="${CSS.escape(id)}"]`);
    const here = nav.querySelector(`[data-key="${CSS.escape(id)}"]`);
    const isCurrent = here?.querySelector("[aria-current]");
    if (!row) { if (!isCurrent) here?.remove(); continue; }  // the open one stays in view
    if (isCurrent) row.querySelector("a").setAttribute("aria-current", "page");
    const part = row.dataset.order.startsWith("1") ? first : nav.querySelector("[data-key=rest]");
    if (here) {
      const isMoved = here.dataset.order !== row.dataset.order;
      merge(here, row);
      if (isMoved && !isLaterPage) placeRow(part, here);
    } else if (!isLaterPage) {
      placeRow(part, document.importNode(row, true));
    }
  }
  if (nav.querySelector("li")) nav.querySelector(".empty")?.remove();
  updateAges();
  if (ids.length) document.dispatchEvent(new Event("listed"));
}

function placeRow(part, row) {
  const isFocused = row.contains(document.activeElement), focused = document.activeElement;
  const next = [...part.children].find((other) => other !== row && other.dataset.order < row.dataset.order);
  if (!next && part.dataset.key === "rest" && document.querySelector('#pages a[href*="cursor="]')) row.remove();
  else part.insertBefore(row, next ?? null);
  if (isFocused) focused.focus({ preventScroll: true });
}

// Fetches the list and what is open.
async function refresh() {
  const [list, opened] = await Promise.all([
    fetchFragment(shown, "list"), isOpen() ? fetchFragment(shown, "opened") : null,
  ]);
  showList(list.page);
  if (opened && !isMoving) showChanged(opened.page);
}

// --- The connection ---

let recover = null;  // what to do when the connection is back

function showConnectionLost(isLost, whenBack = null) {
  const line = document.getElementById("connection");
  if (isLost) recover = whenBack ?? recover;
  if (!line || line.hidden === !isLost) return;
  line.hidden = !isLost;
  if (isLost) setTimeout(tryAgain, 3000);
}

function tryAgain() {
  if (document.getElementById("connection").hidden) return;
  const again = recover ?? (() => { isStale = true; fetchSoon(); });
  recover = null;
  again();
  setTimeout(tryAgain, 3000);
}

addEventListener("offline", () => showConnectionLost(true));
addEventListener("online", () => { restartStream(); tryAgain(); });

function watchSilence() {
  clearTimeout(silence);
  silence = setTimeout(restartStream, SILENCE);
}

function listen() {
  stream = new EventSource(`/conversations/events?after=${lastEvent}`);
  stream.onmessage = handleEvent;
  stream.addEventListener("beat", watchSilence);
  stream.onopen = () => { if (failures) fetchSoon(); };
  stream.onerror = () => {
    isStale = true;
    fetchSoon(250);  // shows a line if the server is away
    // After a refusal the browser does not reconnect by itself.
    if (stream.readyState === EventSource.CLOSED) setTimeout(restartStream, 3000);
  };
  watchSilence();
}

// A hidden page has no stream: browsers allow few connections per host, and nobody reads the page.
function restartStream() {
  stream?.close();
  clearTimeout(silence);
  if (!document.hidden) listen();
}

function handleVisibility() {
  if (document.hidden) hiddenSince = Date.now();
  else if (Date.now() - hiddenSince > ABSENCE) { isStale = true; fetchSoon(); }
  restartStream();
}

if (isWhole()) {
  setClock(document.body);
  setUpOpened();
  updateAges();
  setInterval(updateCountdowns, 250);
  setInterval(updateAges, 30_000);
  restartStream();
  document.addEventListener("visibilitychange", handleVisibility);
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
}
