// Pages work without this file. It sends forms once, lets menus act at once, and tells the server the
// time zone.
"use strict";

document.documentElement.classList.add("live");

// The server formats times in this time zone.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
if (zone && !document.cookie.split("; ").includes(`zone=${zone}`)) {
  document.cookie = `zone=${zone}; path=/; max-age=31536000; samesite=lax`;
  if (document.cookie.includes(`zone=${zone}`)) location.reload();
}

// A form that creates something is submitted once, however often its button is pressed.
document.addEventListener("submit", (event) => {
  if (!event.target.matches("form.once")) return;
  if (event.target.dataset.sent) event.preventDefault();
  event.target.dataset.sent = "yes";
});
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
  if (!event.target.matches(".at-once") || event.target.value === "custom") return;
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
