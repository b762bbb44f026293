// Counts the SMS segments of a text (GSM 03.38), as app/domain/segments.py does.
"use strict";

const GSM = new Set("@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?" +
  "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà");
const EXTENDED = new Set("\f^{}\\[~]|€");
const MAX_LENGTH = 1600;

function findUnsupported(characters) {
  return characters.find((c) => !GSM.has(c) && !EXTENDED.has(c));
}

// Returns the characters that are sent, and the first one that forces UCS-2. `replacements` maps
// typographic characters to plain ones; null if the tenant does not want that.
function prepare(text, replacements) {
  const characters = Array.from(text), culprit = findUnsupported(characters);
  if (!replacements || culprit === undefined) return { characters, culprit };
  const plain = Array.from(characters.map((c) => replacements[c] ?? c).join(""));
  const better = findUnsupported(plain) === undefined;
  return better ? { characters: plain, culprit: undefined } : { characters, culprit };
}

function segments(text, replacements) {
  const { characters, culprit } = prepare(text, replacements);
  const [whole, part] = culprit === undefined ? [160, 153] : [70, 67];
  const units = characters.map((c) => (culprit === undefined ? (EXTENDED.has(c) ? 2 : 1) : c.length));
  const total = units.reduce((sum, unit) => sum + unit, 0);
  if (total <= whole) return { count: total ? 1 : 0, left: whole - total, culprit };
  let count = 1, room = part;
  for (const unit of units) {
    if (unit > room) { count += 1; room = part; }
    room -= unit;
  }
  return { count, left: room, culprit };
}

function describeLength(text, replacements) {
  const over = prepare(text, replacements).characters.length - MAX_LENGTH;
  if (over > 0) return `${over} character${over > 1 ? "s" : ""} too many`;
  const { count, left, culprit } = segments(text, replacements);
  if (!count) return "";
  const why = culprit === undefined ? "" : ` (because of “${culprit}”)`;
  return `${count} segment${count > 1 ? "s" : ""}, ${left} left${why}`;
}
