"""The tables. The classes describe them for Alembic and for readers; no statement uses the ORM.

Every key begins with `tenant_id`, so that no row can refer to another tenant. Only `installation`
and `sign_in_tries` belong to no tenant. The few look-ups before the tenant is known (keys, accounts,
sessions, users by e-mail) have unique indexes of their own.
"""

from app.store.schema.access import ApiKey, Session, SignInTry, User
from app.store.schema.audit import AuditEntry, StatusChange
from app.store.schema.base import Table, Xid8
from app.store.schema.consent import ConsentEvent, ContactCheckRow, Suppression
from app.store.schema.directory import Campaign, CannedReply, Lead, LeadAnswer, SmsAgent
from app.store.schema.events import Idempotency, TenantEvent
from app.store.schema.figures import Figure, FigureCursor, FigureHour
from app.store.schema.hooks import QueuedEvent, SubjectBacklog, WebhookDelivery, WebhookEndpoint
from app.store.schema.imports import Import, ImportPart, ImportRefusal
from app.store.schema.inbox import InboundPart, ProviderIdSeen
from app.store.schema.lines import FormerCredentials, PhoneNumber, PriceFetch, ProviderAccount
from app.store.schema.notices import NoticeWayRow
from app.store.schema.outbox import Attempt, Bulk, EarlyReceipt, Outbox
from app.store.schema.team import ReadMark, SavedView
from app.store.schema.tenants import Installation, Tenant, TenantDay
from app.store.schema.threads import Interaction, Message, Upload
from app.store.schema.trials import Corpus, CorpusTurn, Experiment, Trial, TrialResult
from app.store.schema.turns import FollowUpLook, Turn, TurnAttempt, TurnMessage

__all__ = [
    "ApiKey",
    "Attempt",
    "AuditEntry",
    "Bulk",
    "Campaign",
    "CannedReply",
    "ConsentEvent",
    "ContactCheckRow",
    "Corpus",
    "CorpusTurn",
    "EarlyReceipt",
    "Experiment",
    "Figure",
    "FigureCursor",
    "FigureHour",
    "FollowUpLook",
    "FormerCredentials",
    "Idempotency",
    "Import",
    "ImportPart",
    "ImportRefusal",
    "InboundPart",
    "Installation",
    "Interaction",
    "Lead",
    "LeadAnswer",
    "Message",
    "NoticeWayRow",
    "Outbox",
    "PhoneNumber",
    "PriceFetch",
    "ProviderAccount",
    "ProviderIdSeen",
    "QueuedEvent",
    "ReadMark",
    "SavedView",
    "Session",
    "SignInTry",
    "SmsAgent",
    "StatusChange",
    "SubjectBacklog",
    "Suppression",
    "Table",
    "Tenant",
    "TenantDay",
    "TenantEvent",
    "Trial",
    "TrialResult",
    "Turn",
    "TurnAttempt",
    "TurnMessage",
    "Upload",
    "User",
    "WebhookDelivery",
    "WebhookEndpoint",
    "Xid8",
]
