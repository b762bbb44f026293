// The tools of the text box: canned replies, emoji, a later time, reply or note. Without this file they are
// forms and menus.
"use strict";

const GAP = /\{\{\s*[A-Za-z][\w.]{0,60}\s*\}\}/;  // a variable that nothing filled

function setUpTools() {
  const form = document.querySelector("form.compose");
  if (!form) return;
  const box = form.elements.message;
  setUpReplies(form, box);
  setUpEmoji(form, box);
  setUpLater(form);
  for (const tool of form.querySelectorAll(".tool")) {
    tool.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !tool.open) return;
      event.preventDefault();
      closeTools(form);
      box.focus({ preventScroll: true });
    });
  }
  form.addEventListener("change", (event) => {
    if (event.target.name !== "kind") return;
    saveDraft(form);
    showBoxWords(form, box);
  });
  showBoxWords(form, box);
}

// A placeholder that says what is being written, and how long that may be.
function showBoxWords(form, box) {
  box.dataset.words ??= box.placeholder;
  box.dataset.maxText ??= box.maxLength;
  box.maxLength = isNote(form) ? box.dataset.maxNote : box.dataset.maxText;
  box.placeholder = isNote(form) ? "Write a note" : box.dataset.words;
}

const closeTools = (form) => { for (const tool of form.querySelectorAll(".tool[open]:not(.attach)")) tool.open = false; };

document.addEventListener("pointerdown", (event) => {
  const form = document.querySelector("form.compose");
  if (form && !event.target.closest(".tool[open]")) closeTools(form);
  if (!event.target.closest(".more-views")) closeViews();
});

// The menu of views lies above the list: it closes when a view is chosen, too.
function closeViews(focus = false) {
  const menu = document.querySelector(".more-views[open]");
  if (!menu) return;
  if (focus) menu.querySelector("summary").focus();
  menu.open = false;
}
document.addEventListener("click", (event) => { if (event.target.closest(".more-views a")) closeViews(true); });
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && event.target.closest?.(".more-views")) closeViews(true);
});

// Puts words where the cursor is; a gap in them is selected, so that one types over it.
function insertWords(form, words) {
  const box = form.elements.message, start = box.selectionStart;
  box.setRangeText(words, start, box.selectionEnd, "end");
  const gap = GAP.exec(words);
  if (gap) box.setSelectionRange(start + gap.index, start + gap.index + gap[0].length);
  box.focus({ preventScroll: true });
  box.dispatchEvent(new Event("input", { bubbles: true }));
}

// --- Canned replies: by their button, or by a / at the beginning of a line ---

function setUpReplies(form, box) {
  const tool = form.querySelector(".replies");
  if (!tool) return;
  const field = tool.querySelector("input"), list = tool.querySelector("ul"), nothing = tool.querySelector(".empty");
  const narrow = (words) => {
    narrowList(list, words);
    nothing.hidden = [...list.children].some((item) => !item.hidden);
  };
  const prepare = setUpChoosing(field, list, narrow);
  let isBySlash = false;
  tool.addEventListener("toggle", () => {
    if (!tool.open) { isBySlash = false; return; }
    field.value = "";
    narrow("");
    prepare();
    field.focus({ preventScroll: true });
  });
  list.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    event.preventDefault();
    if (isBySlash) box.setRangeText("", box.selectionStart - 1, box.selectionStart, "end");
    closeTools(form);
    insertWords(form, button.dataset.text);
  });
  box.addEventListener("input", (event) => {
    if (event.data !== "/" || event.isComposing || isNote(form)) return;
    if (/(^|\n)\/$/.test(box.value.slice(0, box.selectionStart))) [isBySlash, tool.open] = [true, true];
  });
}

// --- Emoji ---

function setUpEmoji(form, box) {
  const tool = form.querySelector(".emoji"), field = tool.querySelector("input"), place = tool.querySelector(".found-emoji");
  tool.addEventListener("toggle", () => {
    if (!tool.open) return;
    if (!place.children.length) {
      for (const { emoji, words } of EMOJI) {
        const button = document.createElement("button");
        [button.type, button.textContent, button.dataset.words, button.title] = ["button", emoji, words, words];
        button.setAttribute("aria-label", words);
        place.append(button);
      }
      setUpChoosing(field, place, (words) => narrowList(place, words));
    }
    field.value = "";
    field.dispatchEvent(new Event("input"));
    field.focus({ preventScroll: true });
  });
  place.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    closeTools(form);
    insertWords(form, button.textContent);
  });
}

// --- A later time ---

// Chooses when the text leaves: a preset, or a local time, or now.
function showLater(form, when, at) {
  const presets = [...form.querySelectorAll("[name=when]")];
  const preset = presets.find((radio) => radio.value === when) ?? presets[0];
  if (when && preset.value !== when) {  // a preset of an earlier page
    at = formatLocal(new Date(when));
    if (form.elements.clock) form.elements.clock.value = "";
  }
  preset.checked = true;
  form.elements.at.value = at ?? "";
  const tool = form.querySelector(".later"), isLater = Boolean(preset.value || form.elements.at.value);
  tool.classList.toggle("chosen", isLater);
  tool.querySelector(".word").textContent = describeLater(form, preset) || "Later";
  const send = form.querySelector("button.primary");
  if (send.name !== "anyway") send.textContent = nameSend(form);
}

// As a field for a local time has it.
function formatLocal(date) {
  return new Date(date - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

const nameSend = (form) => (form.querySelector(".later").classList.contains("chosen") ? "Schedule" : "Send");

function describeLater(form, preset) {
  if (preset.value) return preset.closest("label").querySelector(".time").textContent;
  const at = form.elements.at.value;
  return at && new Date(at).toLocaleString([], { weekday: "short", day: "numeric", month: "short", hour: "numeric", minute: "2-digit" });
}

function setUpLater(form) {
  const tool = form.querySelector(".later");
  tool.addEventListener("change", (event) => {
    const { name, value } = event.target;
    if (name === "when") showLater(form, value, "");
    else if (name === "at") showLater(form, "", value);
  });
  // Enter ends the choice: it does not send.
  tool.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.isComposing || !event.target.matches("input")) return;
    event.preventDefault();
    closeTools(form);
    form.elements.message.focus({ preventScroll: true });
  });
  // A page may be open for hours.
  tool.addEventListener("toggle", () => {
    for (const radio of tool.querySelectorAll("[name=when]")) {
      radio.closest("label").hidden = Boolean(radio.value) && Date.parse(radio.value) + clockAhead < Date.now();
    }
  });
  // A click on a preset is the whole choice; arrow keys go on among them.
  tool.addEventListener("click", (event) => {
    if (event.target.name !== "when" || !event.detail) return;
    closeTools(form);
    form.elements.message.focus({ preventScroll: true });
  });
  showLater(form, form.querySelector("[name=when]:checked")?.value ?? "", form.elements.at.value);
}
