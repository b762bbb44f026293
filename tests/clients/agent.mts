// An agent on the TypeScript client: AGENT_SECRET=whsec_… PORT=9000 node agent.mts
import { createServer } from "node:http";

import { Agent, handOff, outcome } from "../../clients/typescript/src/index.ts";

const agent = new Agent(process.env.AGENT_SECRET ?? "");
agent.turn((turn) => {
  if (turn.text.includes("human")) return handOff("asked", ["A colleague will write to you."]);
  if (turn.text.includes("not interested")) {
    return outcome({ status: "disqualified", summary: turn.text, texts: ["Thanks!"] });
  }
  return `Hi ${turn.lead.firstName}, you wrote: ${turn.text}`;
});
createServer(agent.listener).listen(Number(process.env.PORT), "127.0.0.1");
