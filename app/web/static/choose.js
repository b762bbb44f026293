// A field above a list of buttons: one types to narrow the list, the arrow keys choose, Enter takes. The focus
// stays in the field; a screen reader hears the chosen button.
"use strict";

let listNumber = 0;

// Folds words for a search: without accents, in small letters.
const foldWords = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();

// Makes `field` choose among the buttons in `list`. `narrow(words)` shows what fits. Returns a function that
// chooses the first button that is shown.
function setUpChoosing(field, list, narrow) {
  list.id ||= `choices-${listNumber += 1}`;
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", field.getAttribute("aria-label"));
  field.setAttribute("role", "combobox");
  field.setAttribute("aria-expanded", "true");
  field.setAttribute("aria-controls", list.id);
  field.setAttribute("aria-autocomplete", "list");

  const getButtons = () => [...list.querySelectorAll("button, a")].filter((button) => !button.closest("[hidden]"));

  function choose(button) {
    for (const other of list.querySelectorAll("[aria-selected=true]")) other.setAttribute("aria-selected", "false");
    field.removeAttribute("aria-activedescendant");
    if (!button) return;
    button.id ||= `${list.id}-${listNumber += 1}`;
    button.setAttribute("aria-selected", "true");
    field.setAttribute("aria-activedescendant", button.id);
    button.scrollIntoView({ block: "nearest" });
  }

  function prepare() {
    for (const item of list.querySelectorAll("li")) item.setAttribute("role", "presentation");
    for (const button of list.querySelectorAll("button, a")) {
      button.setAttribute("role", "option");
      button.tabIndex = -1;
    }
    choose(getButtons()[0]);
  }

  field.addEventListener("input", (event) => {
    if (!event.isComposing) { narrow(foldWords(field.value)); prepare(); }
  });
  field.addEventListener("keydown", (event) => {
    if (event.isComposing || event.keyCode === 229) return;
    const buttons = getButtons(), at = buttons.findIndex((button) => button.getAttribute("aria-selected") === "true");
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && buttons.length) choose(buttons[(at + step + buttons.length) % buttons.length]);
    else if (event.key === "Enter") buttons[at]?.click();
    else return;
    event.preventDefault();
  });
  list.addEventListener("pointerdown", (event) => event.preventDefault());  // the field keeps the focus
  prepare();
  return prepare;
}

// Hides each item of `list` that lacks one of the words.
function narrowList(list, words) {
  const wanted = words.split(/\s+/).filter(Boolean);
  for (const item of list.children) {
    const text = foldWords(item.dataset.words ?? item.textContent);
    item.hidden = !wanted.every((word) => text.includes(word));
  }
}
