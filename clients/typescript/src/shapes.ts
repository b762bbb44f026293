/** What is sent and answered. Answers may have more fields than stand here. */

export type JsonObject = { [name: string]: unknown };

export type SendOptions = {
  to?: string;
  from?: string;
  campaignId?: string;
  interactionId?: string;
  source?: "api" | "sms_agent";
  turnId?: string;
  agentMode?: boolean;
  sendAt?: Date | string;
  cancelOnReply?: boolean;
  validitySeconds?: number;
  mediaUrls?: string[];
};

export type BulkText = SendOptions & { leadId: string; message: string };

export type Forecast = {
  to: string;
  from: string;
  campaignId: string | null;
  provider: string;
  encoding: string;
  segments: number;
  resolution: { field: string; rule: string; value: string | null }[];
  status: string;
};

export type Sent = Forecast & { messageId: string; interactionId: string };

export type BulkAccepted = {
  bulkId: string;
  accepted: number;
  refused: number;
  results: {
    index: number;
    messageId?: string;
    interactionId?: string;
    error?: { code: string; message: string; details: string[] };
  }[];
};

/** One text of a transcript. */
export type Entry = {
  timestamp: string;
  role: "agent" | "user";
  message: string;
  source: string;
  messageId: string;
  seq: number;
  status: string;
  media: JsonObject[];
};

export type Interaction = {
  interactionId: string;
  leadId: string;
  campaignId: string | null;
  status: string;
  phone: string;
  summary: string | null;
  lastMessageAt: string;
  unreadCount: number;
  /** Only of one interaction, not in lists. */
  transcript?: Entry[];
};

export type Event = {
  eventId: string;
  type: "message" | "receipt" | "turn" | "status" | "consent";
  interactionId: string | null;
  data: JsonObject;
  at: string;
};
