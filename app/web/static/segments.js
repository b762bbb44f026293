// How many SMS segments a text takes (GSM 03.38), as app/domain/segments.py counts them.
"use strict";

const GSM = new Set("@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?" +
  "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà");
const EXTENDED = new Set("\f^{}\\[~]|€");
const LONGEST = 1600;

function stranger(characters) {
  return characters.find((c) => !GSM.has(c) && !EXTENDED.has(c));
}

// The characters that leave, and the first that forces UCS-2. `twins`: what typographic characters
// become where the tenant wants that, or nothing.
function leaving(text, twins) {
  const characters = Array.from(text), culprit = stranger(characters);
  if (!twins || culprit === undefined) return { characters, culprit };
  const plain = Array.from(characters.map((c) => twins[c] ?? c).join(""));
  const better = stranger(plain) === undefined;
  return better ? { characters: plain, culprit: undefined } : { characters, culprit };
}

function segments(text, twins) {
  const { characters, culprit } = leaving(text, twins);
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

function counted(text, twins) {
  const over = leaving(text, twins).characters.length - LONGEST;
  if (over > 0) return `${over} character${over > 1 ? "s" : ""} too many`;
  const { count, left, culprit } = segments(text, twins);
  if (!count) return "";
  const why = culprit === undefined ? "" : ` (because of “${culprit}”)`;
  return `${count} segment${count > 1 ? "s" : ""}, ${left} left${why}`;
}
