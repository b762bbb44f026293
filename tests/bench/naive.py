"""The reference `naive`: the same service built in the obvious way, without tricks for or against it.

It uses an ORM, the indexes that its queries need, and a connection pool. A send is a select for
each step, an insert, a commit and one arq job. An inbound text is a select for the repetition, an
insert, a key in Redis and a deferred arq job. Do not change it: its figures must stay comparable.
"""

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Annotated, Any, ClassVar
from uuid import uuid4

from arq import create_pool
from arq.connections import ArqRedis, RedisSettings
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from pydantic import BaseModel
from sqlalchemy import DateTime, ForeignKey, Index, UniqueConstraint, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.schema import CreateIndex, CreateTable

from tests.bench.form import genuine
from tests.bench.reference import serve
from tests.bench.servers import Lead as Seeded


class Base(DeclarativeBase):
    type_annotation_map: ClassVar = {datetime: DateTime(timezone=True)}


class ApiKey(Base):
    __tablename__ = "naive_api_keys"
    id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[str]
    digest: Mapped[bytes] = mapped_column(unique=True)


class PhoneNumber(Base):
    __tablename__ = "naive_phone_numbers"
    id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[str]
    phone: Mapped[str]
    __table_args__ = (UniqueConstraint("tenant_id", "phone"), Index(None, "phone"))


class Campaign(Base):
    __tablename__ = "naive_campaigns"
    id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[str]
    name: Mapped[str]
    phone_number_id: Mapped[int] = mapped_column(ForeignKey("naive_phone_numbers.id"))


class Lead(Base):
    __tablename__ = "naive_leads"
    id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[str]
    lead_id: Mapped[str]
    phone: Mapped[str]
    campaign_id: Mapped[int] = mapped_column(ForeignKey("naive_campaigns.id"))
    __table_args__ = (UniqueConstraint("tenant_id", "lead_id"), Index(None, "tenant_id", "phone"))


class Thread(Base):
    __tablename__ = "naive_threads"
    id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[str]
    our_number: Mapped[str]
    lead_phone: Mapped[str]
    lead_id: Mapped[int] = mapped_column(ForeignKey("naive_leads.id"))
    last_seq: Mapped[int] = mapped_column(default=0)
    last_message_at: Mapped[datetime]
    preview: Mapped[str]
    __table_args__ = (
        UniqueConstraint("tenant_id", "our_number", "lead_phone"),
        Index(None, "tenant_id", "last_message_at"),
    )


class Message(Base):
    __tablename__ = "naive_messages"
    id: Mapped[str] = mapped_column(primary_key=True)
    thread_id: Mapped[int] = mapped_column(ForeignKey("naive_threads.id"))
    seq: Mapped[int]
    role: Mapped[str]
    text: Mapped[str]
    status: Mapped[str]
    provider_id: Mapped[str | None] = mapped_column(unique=True)
    created_at: Mapped[datetime]
    __table_args__ = (UniqueConstraint("thread_id", "seq"),)


async def fill(connection: Any, leads: Sequence[Seeded]) -> None:
    """Makes its tables, once for each database, and fills them with the benchmark's leads."""
    if await connection.fetchval("SELECT to_regclass('naive_messages')"):
        return
    for table in Base.metadata.sorted_tables:
        await connection.execute(_written(CreateTable(table)))
        for index in table.indexes:
            await connection.execute(_written(CreateIndex(index)))
    tenants = {one.tenant_id: one for one in leads}
    ids = {tenant_id: i for i, tenant_id in enumerate(tenants, 1)}
    twins = len(ids)
    for table_name, rows in (
        ("api_keys", [(ids[t], t, sha256(one.key.encode()).digest())
                      for t, one in tenants.items()]),
        ("phone_numbers", [(ids[t], t, one.number) for t, one in tenants.items()]
            + [(twins + ids[t], t, one.twilio_number) for t, one in tenants.items()]),
        ("campaigns", [(ids[t], t, "Bench", ids[t]) for t in tenants]),
        ("leads", [(i, one.tenant_id, one.lead_id, one.phone, ids[one.tenant_id])
                   for i, one in enumerate(leads, 1)]),
    ):  # fmt: skip
        await connection.copy_records_to_table(f"naive_{table_name}", records=rows)
    await connection.execute("ANALYZE")


def _written(element: CreateTable | CreateIndex) -> str:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's
    return str(element.compile(dialect=dialect))


class Body(BaseModel):
    leadId: str
    message: str


url = make_url(os.environ.get("DATABASE_URL", "postgresql://")).set(drivername="postgresql+asyncpg")
engine = create_async_engine(url, pool_size=20, max_overflow=0, pool_timeout=60)
sessions = async_sessionmaker(engine, expire_on_commit=False)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.arq = await create_pool(RedisSettings.from_dsn(os.environ["REDIS_URL"]))
    yield


app = FastAPI(lifespan=lifespan)


async def session() -> AsyncIterator[AsyncSession]:
    async with sessions() as opened:
        yield opened


Db = Annotated[AsyncSession, Depends(session, scope="function")]


@app.post("/api/v1/sms/send", status_code=202)
async def send(request: Request, body: Body, db: Db) -> dict[str, str]:
    digest = sha256(request.headers.get("x-api-key", "").encode()).digest()
    key = await db.scalar(select(ApiKey).where(ApiKey.digest == digest))
    if key is None:
        raise HTTPException(401)
    lead = await db.scalar(select(Lead).where(Lead.tenant_id == key.tenant_id, Lead.lead_id == body.leadId))
    if lead is None:
        raise HTTPException(404)
    campaign = await db.get_one(Campaign, lead.campaign_id)
    number = await db.get_one(PhoneNumber, campaign.phone_number_id)
    thread = await _thread(db, key.tenant_id, number.phone, lead, body.message)
    message = Message(
        id=uuid4().hex, thread_id=thread.id, seq=thread.last_seq, role="agent",
        text=body.message, status="queued", created_at=datetime.now(UTC),
    )  # fmt: skip
    db.add(message)
    await db.commit()
    arq: ArqRedis = request.app.state.arq
    await arq.enqueue_job("deliver", message.id)
    return {"messageId": message.id, "interactionId": str(thread.id), "status": "queued"}


async def _thread(db: AsyncSession, tenant_id: str, our_number: str, lead: Lead, text: str) -> Thread:
    thread = await db.scalar(
        select(Thread).where(
            Thread.tenant_id == tenant_id, Thread.our_number == our_number,
            Thread.lead_phone == lead.phone,
        ).with_for_update()
    )  # fmt: skip
    if thread is None:
        thread = Thread(
            tenant_id=tenant_id, our_number=our_number, lead_phone=lead.phone, lead_id=lead.id,
            last_seq=0, last_message_at=datetime.now(UTC), preview="",
        )  # fmt: skip
        db.add(thread)
    thread.last_seq += 1
    thread.last_message_at = datetime.now(UTC)
    thread.preview = text[:160]
    await db.flush()
    return thread


@app.post("/webhooks/twilio/{account_id}/inbound")
async def inbound(request: Request, account_id: str, db: Db) -> Response:
    form = await request.form()
    if not genuine(request, form):
        raise HTTPException(401)
    sid, sender, to = str(form["MessageSid"]), str(form["From"]), str(form["To"])
    if await db.scalar(select(Message.id).where(Message.provider_id == sid)):
        return Response("<Response/>", media_type="text/xml")
    number = await db.scalar(select(PhoneNumber).where(PhoneNumber.phone == to))
    if number is None:
        raise HTTPException(404)
    lead = await db.scalar(select(Lead).where(Lead.tenant_id == number.tenant_id, Lead.phone == sender))
    if lead is None:
        raise HTTPException(404)
    thread = await _thread(db, number.tenant_id, to, lead, str(form["Body"]))
    message = Message(
        id=uuid4().hex, thread_id=thread.id, seq=thread.last_seq, role="user",
        text=str(form["Body"]), status="received", provider_id=sid, created_at=datetime.now(UTC),
    )  # fmt: skip
    db.add(message)
    await db.commit()
    arq: ArqRedis = request.app.state.arq
    due = datetime.now(UTC) + timedelta(seconds=7)
    await arq.set(f"naive:debounce:{thread.id}", due.isoformat(), ex=60)
    await arq.enqueue_job("forward", thread.id, _defer_until=due)
    return Response("<Response/>", media_type="text/xml")


if __name__ == "__main__":
    serve(app)
