// Moves between threads, and sends their forms, without loading the page: the server renders the part
// that changes with its usual templates (header X-Fragment), and the list, its scroll position and the
// focus stay. A link or form that is not known here works as without script.
"use strict";

const TEXT_ANCHOR = /^#msg_/;
const PLACE = /^\/conversations(\/[^/]+)?$/;
const OWN_PARAMETERS = ["before", "canned", "lead", "who", "from"];  // of a thread; the others are the list's

// The answer is no part of this page: the person is signed out, the form is of another session, the thread is gone.
class OtherPage extends Error {}

// Whether the page was sent to its end: else a problem stands in the place of the list and of what is open.
const isWhole = () => Boolean(document.getElementById("opened"));

// Asks for a part of a page. Throws `OtherPage`.
async function fetchFragment(address, fragment, options = {}) {
  const answer = await fetch(address, { ...options, headers: { "X-Fragment": fragment } });
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const url = new URL(answer.url);
  const isStrange = answer.status === 404 || (answer.status === 403 && !page.querySelector("#opened, #list"));
  if (!url.pathname.startsWith("/conversations") || isStrange) throw new OtherPage();
  if (answer.status >= 500) throw new Error(`${answer.status}`);
  showConnectionLost(!navigator.onLine);
  return { answer, page, url };
}

function splitQuery(url) {
  const own = new URLSearchParams(), list = new URLSearchParams();
  for (const [name, value] of url.searchParams) {
    if (value) (OWN_PARAMETERS.includes(name) ? own : list).append(name, value);
  }
  return { own, list };
}

// The address with the list as it stands now: it may have changed since the server wrote the link.
function withList(address) {
  const url = new URL(address, location.href);
  url.search = new URLSearchParams([...splitQuery(shown).list, ...splitQuery(url).own]).toString();
  return url;
}

// The address of a filter or page of the list, beside what is open now.
function besideOpen(address) {
  const url = new URL(address, location.href);
  url.pathname = shown.pathname;
  url.search = new URLSearchParams([...url.searchParams, ...splitQuery(shown).own]).toString();
  return url;
}

let shown = new URL(location.href);  // the address of what is on the screen
let moves = 0, isMoving = false;

// Shows another address: fetches the list if its filter differs, and what is open if that does. `step`: whether the
// address is a "new" one in the history, takes the place of the last one ("same"), or is there already ("").
async function move(url, step = "new") {
  const number = ++moves, from = splitQuery(shown), to = splitQuery(url);
  const isOtherList = `${from.list}` !== `${to.list}`;
  const isOtherThread = url.pathname !== shown.pathname || `${from.own}` !== `${to.own}`;
  isMoving = true;
  markCurrent(url.pathname);
  if (isOtherList) fillFilters(url);
  try {
    const [list, opened] = await Promise.all([
      isOtherList ? fetchFragment(url, "list") : null,
      isOtherThread || !isOtherList ? fetchFragment(url, "opened") : null,
    ]);
    if (number !== moves) return;
    if (step && url.href !== shown.href) history[step === "new" ? "pushState" : "replaceState"](null, "", url);
    const former = shown;
    shown = url;
    if (list) showList(list.page);
    if (opened) showOpened(opened.page, former);
    if (url.hash) revealText(url.hash.slice(1));
  } catch (error) {
    if (number !== moves) return;
    if (error instanceof OtherPage) { location.assign(url); return; }  // the browser shows what is wrong
    markCurrent(shown.pathname);
    fillFilters(shown);
    showConnectionLost(true, () => move(url, step));
  } finally {
    if (number === moves) {
      isMoving = false;
      document.dispatchEvent(new Event("moved"));  // or failed to
    }
  }
}

// The filter stands in its form at once: the next choice goes on from it.
function fillFilters(url) {
  for (const field of document.querySelector(".filters").elements) {
    const values = url.searchParams.getAll(field.name).join(",");
    if (field.type === "checkbox") field.checked = values === field.value;
    else if (field.type === "select-one" && [...field.options].some((option) => option.value === values)) field.value = values;
    else if (field.name && field.type !== "select-one") field.value = values;
  }
}

function showList(page) {
  const list = document.getElementById("list"), filters = list.querySelector(".filters");
  const ticked = new Set([...list.querySelectorAll(".pick:checked")].map((box) => box.value));
  merge(list, page.getElementById("list"));
  for (const box of list.querySelectorAll(".pick")) box.checked = ticked.has(box.value);
  if (!filters.contains(document.activeElement) || document.activeElement.type !== "search") filters.reset();
  markCurrent(shown.pathname);
  updateAges();
  settleFocus();
  document.dispatchEvent(new Event("listed"));
}

function showOpened(page, former) {
  const fresh = document.adoptNode(page.getElementById("opened"));
  document.getElementById("opened").replaceWith(fresh);
  document.title = page.title;
  document.body.className = page.body.className;
  document.body.dataset.here = page.body.dataset.here;
  setClock(page.body);
  markCurrent(shown.pathname);
  setUpOpened();
  document.getElementById("told").textContent = fresh.querySelector("h1")?.textContent ?? "";
  const first = fresh.querySelector("[autofocus]");
  if (first) first.focus({ preventScroll: true });
  else settleFocus(former?.pathname);
  document.dispatchEvent(new Event("opened"));
}

function setUpOpened() {
  setUpCompose();
  setUpTools();
  setUpAttachments();
  watchEarlier();
  updateCountdowns();
}

function markCurrent(path) {
  for (const link of document.querySelectorAll("#list a[href]")) {
    if (!link.closest("nav li, .new")) continue;
    const isCurrent = new URL(link.href).pathname === path && path !== "/conversations/new";
    link.toggleAttribute("aria-current", isCurrent);
    if (!isCurrent) continue;
    link.setAttribute("aria-current", "page");
    link.classList.remove("unread");
    link.querySelector(".count")?.remove();
  }
}

// The focus never falls to the body: if its element is gone or hidden, it goes to the heading of what
// is open or, where the list alone is shown, to the row of the former thread.
function settleFocus(formerPath) {
  const here = document.activeElement;
  if (here && here !== document.body && here.getClientRects().length) return;
  const rows = [...document.querySelectorAll("#list nav li a")];
  const heading = document.querySelector("#opened h1");
  const row = rows.find((link) => formerPath && new URL(link.href).pathname === formerPath) ?? rows[0];
  const isListing = document.body.classList.contains("listing");
  const target = isListing ? row ?? heading : heading;
  if (target === heading) heading?.setAttribute("tabindex", "-1");
  target?.focus({ preventScroll: !isListing });
}

// Sends a form of a thread and shows what became of it where it is.
async function post(form, submitter) {
  const url = withList(submitter?.getAttribute("formaction") ?? form.getAttribute("action"));
  const body = new FormData(form, submitter);
  form.setAttribute("aria-busy", "true");
  try {
    const { page, url: end } = await fetchFragment(url, "opened", { method: "POST", body });
    if (!page.getElementById("opened")) { showTrouble(page); return; }
    if (form.dataset.draft && !page.getElementById("refused")) sessionStorage.removeItem(getDraftKey(form));
    const isElsewhere = PLACE.test(end.pathname) && end.pathname !== shown.pathname, formerId = getOpenId();
    if (isElsewhere) {
      history.pushState(null, "", end);
      const former = shown;
      shown = end;
      showOpened(page, former);
      fetchRow(formerId);  // it may be unread again
    } else if (form.closest("main.starting")) {
      showOpened(page);
    } else {
      const undone = form.matches(".undo") && form.closest("article");
      showChanged(page);
      if (form.isConnected && !form.dataset.hold && !page.getElementById("refused")) form.reset();
      if (undone && !undone.isConnected) takeBackWords(undone.querySelector(".words")?.textContent ?? "");
    }
    if (form.dataset.draft) document.querySelector("form.compose textarea")?.focus({ preventScroll: true });
  } catch (error) {
    if (error instanceof OtherPage) { location.assign(shown); return; }
    if (form.querySelector("select.at-once")) form.reset();  // a menu says what is; words are never lost
    showConnectionLost(true);
  } finally {
    form.removeAttribute("aria-busy");
    delete form.dataset.sent;
    delete form.dataset.hold;
  }
}

// Sends a form of the list and shows the list anew; what is open stays.
async function postForList(form, submitter) {
  const body = new FormData(form, submitter);
  form.setAttribute("aria-busy", "true");
  try {
    const { answer, page } = await fetchFragment(withList(form.getAttribute("action")), "list", { method: "POST", body });
    if (!page.getElementById("list")) throw new OtherPage();
    if (answer.ok) form.reset();
    showList(page);
  } catch (error) {
    if (error instanceof OtherPage) { location.assign(shown); return; }
    showConnectionLost(true);
  } finally {
    form.removeAttribute("aria-busy");
  }
}

// Shows a fresh rendering of the open thread, and a refusal if it has one.
function showChanged(page) {
  setClock(page.body);
  changeTexts(() => mergeParts(page));
  showRefusal(page);
  watchEarlier();
  updateCountdowns();
  settleFocus();
}

function showTrouble(page) {
  const words = page.querySelector("main, .card")?.textContent.trim() || "It did not work. Try again.";
  showRefusal(null, words);
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href]");
  if (!link || event.defaultPrevented || event.button || !isWhole()) return;
  const url = new URL(link.href);
  if (url.origin !== location.origin || !url.pathname.startsWith("/conversations")) return;
  const isFilter = link.closest("#list") && !link.closest("nav li, .new");
  if (link.closest("#opened") && !link.closest(".media")) link.href = withList(url);
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey || link.target || (link.hash && !TEXT_ANCHOR.test(link.hash))) return;
  if (!PLACE.test(url.pathname)) return;
  event.preventDefault();
  if (isFilter) move(besideOpen(url));
  else move(link.closest("#list, .top") ? url : withList(url));
});

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (event.defaultPrevented || !isWhole()) return;
  const url = new URL(form.getAttribute("action"), location.href);
  if (!url.pathname.startsWith("/conversations")) return;
  event.preventDefault();
  if (form.getAttribute("method") === "post") {
    if (form.closest("#list")) postForList(form, event.submitter);
    else post(form, event.submitter);
    return;
  }
  const filled = [...new FormData(form, event.submitter)].filter(([, value]) => value);
  url.search = new URLSearchParams(filled).toString();
  move(form.closest("#list") ? besideOpen(url) : url);
});

addEventListener("popstate", () => {
  const url = new URL(location.href);
  if (url.pathname !== shown.pathname || url.search !== shown.search) move(url, "");
});
