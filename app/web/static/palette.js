// Goes to and does things by their names (Ctrl+K or ⌘K), and by single keys (? lists them). Everything here is
// reached without it, too.
"use strict";

const SEARCH_PAUSE = 150;  // ms after the last key
const KEYS = [
  ["Ctrl K, ⌘ K", "Go to a conversation, a lead or a page; set the status; assign"],
  ["?", "Show these keys"], ["/", "Search the conversations"], ["j, k", "Next conversation, the one before"],
  ["r", "Reply"], ["n", "Write a note"], ["l", "Choose when the text leaves"], ["m", "Assign to me"], ["u", "Mark as unread"],
  ["Enter", "Send"], ["Shift Enter", "Begin a new line"], ["/ in the text box", "Insert a canned reply"], ["Esc", "Close, and back to the text box"],
];
let palette = null, keyList = null, lastSearch = 0, searchTimer = null;

const find = (selector) => document.querySelector(selector);
const getName = (element) => (element.getAttribute("aria-label") ?? element.textContent).trim().replace(/\s+/g, " ");

// --- What can be done on this page: its own controls, by their names ---

function listActions() {
  const actions = [];
  const add = (group, name, run) => actions.push({ group, name, about: "", run });
  const addMenu = (group, menu) => {
    for (const option of menu?.options ?? []) {
      if (!option.selected) add(group, option.textContent.trim(), () => { menu.value = option.value; menu.form.requestSubmit(); });
    }
  };
  const box = find("form.compose textarea");
  if (box) add("Do", "Write a reply", () => writeAs("text"));
  if (find(".kinds")) add("Do", "Write a note", () => writeAs("note"));
  if (box) add("Do", "Choose when the text leaves", openLater);
  addMenu("Set status", find("main.thread > header select[name=status]"));
  addMenu("Assign to", find(".work select[name=person]"));
  const agent = find("main.thread > header .switch");
  if (agent) add("Do", agent.getAttribute("aria-checked") === "true" ? "Switch the agent off" : "Switch the agent on", () => agent.click());
  for (const button of document.querySelectorAll(".work [action*='/snooze'] button[name=until]")) add("Snooze", getName(button), () => button.click());
  const unread = find(".work [action*='/unread'] button");
  if (unread) add("Do", "Mark as unread", () => unread.click());
  for (const link of document.querySelectorAll("#views > ul a, .more-views ul a")) add("View", getName(link), () => link.click());
  const start = find("#list .new");
  if (start) add("Do", "New conversation", () => start.click());
  add("Do", "Show the keys", showKeys);
  return actions;
}

function writeAs(kind) {
  const form = find("form.compose"), radio = form?.querySelector(`[name=kind][value=${kind}]`);
  if (!form || (kind === "note" && !radio)) return;
  const hasNote = isNote(form) && form.elements.message.value.trim();  // by a key, no note becomes a text
  if (radio && !radio.checked && !hasNote) radio.click();
  form.elements.message.focus({ preventScroll: true });
}

function openLater() {
  writeAs("text");
  if (isNote(find("form.compose"))) return;
  const tool = find(".later");
  tool.open = true;
  tool.querySelector("[name=when]:checked").focus();
}

// --- The palette ---

function buildDialog(name, label) {
  const dialog = document.createElement("dialog");
  dialog.className = name;
  dialog.setAttribute("aria-label", label);
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  document.body.append(dialog);
  return dialog;
}

function openPalette() {
  if (!palette) {
    const dialog = buildDialog("palette", "Go to or do"), field = document.createElement("input"), list = document.createElement("ul");
    [field.type, field.placeholder, field.autocomplete] = ["search", "Go to a conversation, lead or page, or do something", "off"];
    field.setAttribute("aria-label", "Go to or do");
    dialog.append(field, list);
    palette = { dialog, field, list, actions: [], goals: [] };
    palette.prepare = setUpChoosing(field, list, (words) => { showGoals(words); searchSoon(); });
    list.addEventListener("click", (event) => {
      const choice = event.target.closest("[data-place]");
      if (choice) take(event, palette.shown[choice.dataset.place]);
    });
  }
  palette.actions = listActions();
  palette.field.value = "";
  showGoals("");
  palette.dialog.showModal();
  palette.prepare();
  fetchGoals();
}

function showGoals(words) {
  const wanted = words.split(/\s+/).filter(Boolean);
  const fits = ({ group, name }) => wanted.every((word) => foldWords(`${group} ${name}`).includes(word));
  const actions = palette.actions.filter(fits);
  palette.shown = wanted.length ? [...palette.goals, ...actions].slice(0, 40) : [...actions.slice(0, 4), ...palette.goals, ...actions.slice(4)];
  palette.list.replaceChildren(...palette.shown.map(({ group, name, about, href }, place) => {
    const item = document.createElement("li"), choice = document.createElement(href ? "a" : "button");
    if (href) choice.href = href;
    choice.dataset.place = place;
    for (const [className, words] of [["group", group], ["name", name], ["about", about]]) {
      const part = document.createElement("span");
      [part.className, part.textContent, part.dir] = [className, words, "auto"];
      choice.append(part, " ");
    }
    item.append(choice);
    return item;
  }));
}

function searchSoon() {
  clearTimeout(searchTimer);
  searchTimer = setTimeout(fetchGoals, SEARCH_PAUSE);
}

async function fetchGoals() {
  const number = lastSearch += 1;
  try {
    const answer = await fetch(`/palette?${new URLSearchParams({ search: palette.field.value })}`);
    if (!answer.ok || answer.redirected || number !== lastSearch) return;
    palette.goals = (await answer.json()).goals;
    showGoals(foldWords(palette.field.value));
    palette.prepare();
  } catch { /* the connection is lost: what is on the page can still be done */ }
}

// Takes a choice after the dialog has given the focus back. A conversation is opened in its place, to write in it.
function take(event, choice) {
  event.preventDefault();
  palette.dialog.close();
  if (!choice.href) { choice.run(); return; }
  if (choice.group === "Conversation") writeAfterMove(new URL(choice.href, location.href).pathname);
  const link = document.createElement("a");
  link.href = choice.href;
  (find(".top") ?? document.body).append(link);
  link.click();
  link.remove();
}

function writeAfterMove(path) {
  document.addEventListener("moved", () => {
    if (location.pathname === path) find("form.compose textarea")?.focus({ preventScroll: true });
  }, { once: true });
}

// --- Keys ---

const hasSingleKeys = () => localStorage.getItem("single keys") !== "no";

function showKeys() {
  if (!keyList) {
    keyList = buildDialog("palette keys", "Keys");
    const heading = document.createElement("h2"), list = document.createElement("dl"), label = document.createElement("label");
    const close = document.createElement("button"), row = document.createElement("div"), tick = document.createElement("input");
    heading.textContent = "Keys";
    for (const [keys, words] of KEYS) {
      const key = document.createElement("dt"), what = document.createElement("dd");
      for (const one of keys.split(", ")) {
        const cap = document.createElement("kbd");
        cap.textContent = one;
        key.append(cap, " ");
      }
      what.textContent = words;
      list.append(key, what);
    }
    [tick.type, tick.checked] = ["checkbox", hasSingleKeys()];
    tick.addEventListener("change", () => localStorage.setItem("single keys", tick.checked ? "yes" : "no"));
    label.className = "check";
    label.append(tick, " Single letters act outside of fields");
    close.textContent = "Close";
    close.addEventListener("click", () => keyList.close());
    row.className = "row";
    row.append(label, close);
    keyList.append(heading, list, row);
  }
  keyList.showModal();
}

function moveTo(step) {
  const rows = [...document.querySelectorAll("#list nav li > a")];
  const at = rows.findIndex((row) => row.getAttribute("aria-current") === "page");
  const row = rows[at < 0 ? 0 : at + step];
  row?.focus();
  row?.click();
}

const SINGLE_KEYS = {
  "?": showKeys,
  "/": () => find(".filters [name=search]")?.focus(),
  j: () => moveTo(1),
  k: () => moveTo(-1),
  r: () => writeAs("text"),
  n: () => writeAs("note"),
  l: () => { if (find(".later")) openLater(); },
  m: () => {
    const menu = find(".work select[name=person]"), me = [...menu?.options ?? []].find((option) => option.textContent === "Me");
    if (me && !me.selected) { menu.value = me.value; menu.form.requestSubmit(); }
  },
  u: () => find(".work [action*='/unread'] button")?.click(),
};

document.addEventListener("keydown", (event) => {
  if (event.isComposing || event.keyCode === 229) return;
  if ((event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey && event.key.toLowerCase() === "k") {
    event.preventDefault();
    if (palette?.dialog.open) palette.dialog.close();
    else if (!find("dialog[open]")) openPalette();
    return;
  }
  const run = SINGLE_KEYS[event.key];
  if (!run || event.ctrlKey || event.metaKey || event.altKey || !hasSingleKeys() || find("dialog[open]")) return;
  // Nor beside the text box: who has just opened one of its tools types into it.
  if (event.target.closest("input:not([type=checkbox], [type=radio]), select, textarea, [contenteditable], form.compose")) return;
  event.preventDefault();
  run();
});

const opener = find("[data-palette]");
if (opener) {
  opener.hidden = false;
  opener.addEventListener("click", openPalette);
}
