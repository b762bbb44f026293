/** Client of LeadSail SMS: `LeadSail` sends texts and reads what happened, `Agent` answers leads. */
export { Agent, handOff, outcome } from "./agent.ts";
export type { Answer, HandOff, Outcome, Turn } from "./agent.ts";
export { LeadSail } from "./client.ts";
export type { ClientOptions, RequestOptions } from "./client.ts";
export { ApiError, InvalidSignature, LeadSailError, OutcomeUnknown, Unreachable } from "./errors.ts";
export type {
  BulkAccepted, BulkText, Entry, Event, Forecast, Interaction, JsonObject, SendOptions, Sent,
} from "./shapes.ts";
export { sign, verify } from "./webhooks.ts";
