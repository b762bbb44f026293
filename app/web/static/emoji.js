// The emoji that people send, each with the words by which it is found.
"use strict";

const EMOJI = `😀 smile happy|😁 grin|😂 laugh tears joy|🙂 slight smile|😉 wink|😊 blush happy|😍 love eyes|😎 cool
🤔 think|😅 sweat phew|😢 cry sad|😡 angry|😴 sleep|🤗 hug|🙄 eyes roll|😬 awkward|🥳 party celebrate|🤝 handshake deal
👍 thumbs up yes good|👎 thumbs down no bad|👋 wave hello bye|🙏 thanks please pray|👏 clap bravo|💪 strong muscle
👌 ok perfect|✌️ peace victory|👉 point right|👇 point down|☝️ one point up|🤞 fingers crossed luck|❤️ heart love red
💙 heart blue|💚 heart green|💯 hundred perfect|🔥 fire hot|⭐ star|✨ sparkles new|🎉 party congratulations|🎁 gift present
✅ check done yes|❌ cross no|⚠️ warning|❗ exclamation important|❓ question|➡️ arrow right|📞 phone call|📱 mobile phone
💬 speech text message|✉️ mail letter|📧 e-mail|📎 clip attachment|📄 page document|✍️ sign write|📅 calendar date
⏰ alarm clock time|⌛ hourglass wait|📍 pin place|🏠 house home|🏢 office building|🔑 key|🚗 car|✈️ plane travel
☀️ sun solar|🌧️ rain|❄️ snow cold|⚡ power energy electricity|💡 idea light bulb|🔋 battery|🌱 plant green|💧 water drop
💰 money bag|💵 dollar money|💳 card payment|📈 chart up growth|🛠️ tools repair|🧰 toolbox|🚚 delivery truck|📦 package box
☕ coffee|🍕 pizza|🎂 cake birthday|🎄 christmas tree|👶 baby|🐶 dog|🐱 cat|👀 eyes look`.split(/[|\n]/).map((line) => {
  const [emoji, ...words] = line.split(" ");
  return { emoji, words: words.join(" ") };
});
