// Finds as one types, and shows the text that was found.
"use strict";

const TYPING_PAUSE = 180;  // ms after the last key
let typingTimer = null, foundBefore = "";  // the address when the field got the focus

const buildSearch = (form) => {
  const url = new URL(form.getAttribute("action"), location.href);
  url.search = new URLSearchParams([...new FormData(form)].filter(([, value]) => value.trim())).toString();
  return besideOpen(url);
};

// The first letters are a new step in the history; the next ones change it.
function search(form) {
  const url = buildSearch(form);
  if (url.search === shown.search) return;
  move(url, shown.href === foundBefore ? "new" : "same");
}

document.addEventListener("input", (event) => {
  const field = event.target;
  if (!field.matches?.(".filters [name=search]") || event.isComposing) return;
  clearTimeout(typingTimer);
  typingTimer = setTimeout(() => search(field.form), TYPING_PAUSE);
});
// The form is sent with what was typed: to find it later, too, would take the place of that step in the history.
document.addEventListener("submit", (event) => {
  if (event.target.matches(".filters")) clearTimeout(typingTimer);
});
document.addEventListener("compositionend", (event) => {
  if (event.target.matches?.(".filters [name=search]")) search(event.target.form);
});
document.addEventListener("focusin", (event) => {
  if (event.target.matches?.(".filters [name=search]")) foundBefore = shown.href;
});

// Arrow down leads from the field to what was found; Enter too, if it is what was typed.
document.addEventListener("keydown", (event) => {
  const field = event.target;
  if (!field.matches?.(".filters [name=search]") || event.isComposing || event.keyCode === 229) return;
  const isShown = event.key === "Enter" && buildSearch(field.form).search === shown.search && field.value.trim();
  if (event.key !== "ArrowDown" && !isShown) return;
  event.preventDefault();
  document.querySelector("#list nav li a")?.focus();
});

// Scrolls the transcript alone: the browser's own jump would also move the panels around it.
function revealText(id) {
  const text = document.getElementById(id), transcript = text?.closest(".transcript");
  if (!transcript) return;
  for (const former of document.querySelectorAll(".sought")) former.classList.remove("sought");
  text.classList.add("sought");
  const here = text.getBoundingClientRect(), frame = transcript.getBoundingClientRect();
  transcript.scrollTop += here.top - frame.top - Math.max(0, frame.height - here.height) / 2;
}
