export class LeadSailError extends Error {}

/** The service refused the request. `code` is for programs; `details` name fields. */
export class ApiError extends LeadSailError {
  readonly status: number;
  readonly code: string;
  readonly details: string[];
  readonly requestId: string | undefined;

  constructor(status: number, code: string, message: string, details: string[] = [], requestId?: string) {
    super([`${code}: ${message}`, ...details].join("; "));
    this.name = "ApiError";
    this.status = status;
    this.code = code;
    this.details = details;
    this.requestId = requestId;
  }
}

/** The request may have been accepted, or not. With its `idempotencyKey` it can be repeated safely. */
export class OutcomeUnknown extends LeadSailError {
  readonly idempotencyKey: string | undefined;

  constructor(message: string, idempotencyKey?: string) {
    super(message);
    this.name = "OutcomeUnknown";
    this.idempotencyKey = idempotencyKey;
  }
}

/** The service did not take the request, however often it was tried. */
export class Unreachable extends LeadSailError {
  override name = "Unreachable";
}

/** The webhook was not signed with the secret, or too long ago. */
export class InvalidSignature extends LeadSailError {
  override name = "InvalidSignature";
}
