"""Every route there is. The router serves this table and `/openapi.json` describes it."""

from __future__ import annotations

from typing import get_args

from tidegate.core.fold import Snapshot, Status
from tidegate.core.topic import NAME
from tidegate.dialects import (
    native,
    native_probe,
    native_producer,
    native_share,
    native_topic,
    openai_chat,
    openai_chat_whole,
)
from tidegate.routes import (
    admin,
    chat,
    metrics,
    models,
    pages,
    probe,
    probes,
    session,
    shares,
    socket,
    streams,
    topics,
)
from tidegate.routes.openapi import FailedStream
from tidegate.routes.page_files import MEDIA_TYPES
from tidegate.routes.route import EVENTS, HTML, JSON, Answer, Parameter, Route
from tidegate.routes.samples import CHAT_CHUNKS, SOCKET_CALLS, STREAM_EVENTS, TOPIC_EVENTS
from tidegate.serving.registry import Transport

CURSOR = {"type": "string", "pattern": "^[a-z0-9]{1,16}-(0|[1-9][0-9]{0,15})$"}
STREAM = Parameter(name="id", place="path", about="The stream's id.")
AFTER = Parameter(name="after", place="query", about="Go on after this cursor; default: the beginning.", schema=CURSOR)
LAST_EVENT_ID = Parameter(
    name="Last-Event-ID", place="header", about="The same as `after`, which it wins over.", schema=CURSOR
)
LAST_EVENT_ID_IN_QUERY = Parameter(
    name="lastEventId",
    place="query",
    about="The same for clients that cannot set the header, which wins over it.",
    schema=CURSOR,
)
SNAPSHOT = Parameter(
    name="snapshot",
    place="query",
    about="`1`: begin with one `snapshot` event in place of the events so far.",
    schema={"type": "string", "enum": ["1"]},
)
EVENTS_AS = Parameter(
    name="events",
    place="query",
    about="`message`: send every event under the default name, its `type` inside the data.",
    schema={"type": "string", "enum": ["message"]},
)
IDEMPOTENCY_KEY = Parameter(
    name="Idempotency-Key",
    place="header",
    about="Repeating a request with its key leads to the stream that the first one started.",
    schema={"type": "string", "pattern": "^[!-~]{1,255}$"},
)
ON_DISCONNECT = Parameter(
    name="tidegate-on-disconnect",
    place="header",
    about="`keep`, `cancel` (default), or the seconds that a client may be away.",
    schema={"type": "string", "pattern": "^(keep|cancel|[0-9]{1,5}([.][0-9]{1,3})?)$"},
)
TOPIC = Parameter(
    name="name", place="path", about="The topic's name.", schema={"type": "string", "pattern": f"^{NAME.pattern}$"}
)
PLACE = Parameter(
    name="after",
    place="query",
    about="Go on after this cursor, or from `earliest`; default: `latest`.",
    schema={"type": "string", "pattern": CURSOR["pattern"] + "|^(earliest|latest)$"},
)
BEFORE = Parameter(name="before", place="query", about="The last stream of the page before.")
STATUS = Parameter(
    name="status",
    place="query",
    about="Only those of this status.",
    schema={"type": "string", "enum": list(get_args(Status))},
)
ADMIN_LIMIT = Parameter(
    name="limit",
    place="query",
    about="How many at the most.",
    schema={"type": "integer", "minimum": 1, "maximum": admin.MAX_PAGE, "default": admin.PAGE},
)
ALL_EVENTS = (LAST_EVENT_ID, LAST_EVENT_ID_IN_QUERY, AFTER, SNAPSHOT, EVENTS_AS)
FOUND_AGAIN = ("location", "tidegate-stream")
STARTING = (401, 402, 403, 404, 409, 413, 415, 422, 429, 502, 503, 504)

METRICS = ("text/plain", "application/openmetrics-text")

ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        path="/v1/streams",
        name="createStream",
        about="Starts a generation: streamed, whole, or in the background.",
        handler=streams.create,
        scope="generate",
        parameters=(IDEMPOTENCY_KEY, *ALL_EVENTS),
        bodies=(native.CreateStream, native_producer.OpenStream),
        answers=(
            Answer(
                status=200,
                about="The events, or the ended stream.",
                content={JSON: Snapshot, EVENTS: STREAM_EVENTS},
                headers=FOUND_AGAIN,
            ),
            Answer(
                status=201,
                about="A stream that the caller fills is open.",
                content={JSON: streams.Opened},
                headers=FOUND_AGAIN,
            ),
            Answer(status=202, about="The stream has been started.", content={JSON: Snapshot}, headers=FOUND_AGAIN),
            Answer(
                status=204, about="The key led to a stream that has ended, and nothing follows.", headers=FOUND_AGAIN
            ),
        ),
        failures=STARTING,
        failed=FailedStream,
    ),
    Route(
        method="GET",
        path="/v1/streams",
        name="listStreams",
        about="The caller's streams, newest first.",
        handler=streams.list_streams,
        scope="read",
        parameters=(
            Parameter(
                name="limit",
                place="query",
                about="How many at the most.",
                schema={"type": "integer", "minimum": 1, "maximum": streams.MAX_PAGE, "default": streams.PAGE},
            ),
            BEFORE,
            STATUS,
        ),
        answers=(Answer(status=200, about="A page.", content={JSON: streams.StreamList}),),
        failures=(404,),
    ),
    Route(
        method="GET",
        path="/v1/streams/{id}",
        name="getStream",
        about="The stream as a whole, so far.",
        handler=streams.look,
        scope="read",
        parameters=(STREAM,),
        answers=(Answer(status=200, about="The snapshot.", content={JSON: Snapshot}),),
        failures=(404,),
        shared=True,
    ),
    Route(
        method="DELETE",
        path="/v1/streams/{id}",
        name="deleteStream",
        about="Ends the stream if it is live, then forgets it.",
        handler=streams.forget,
        scope="cancel",
        parameters=(STREAM,),
        answers=(Answer(status=204, about="It is forgotten."),),
        failures=(404, 504),
    ),
    Route(
        method="GET",
        path="/v1/streams/{id}/events",
        name="followStream",
        about="The events after the caller's position, then those to come, until the end.",
        handler=streams.follow,
        scope="read",
        parameters=(STREAM, *ALL_EVENTS),
        answers=(
            Answer(status=200, about="The events.", content={EVENTS: STREAM_EVENTS}, headers=FOUND_AGAIN),
            Answer(status=204, about="The stream has ended and nothing follows.", headers=FOUND_AGAIN),
        ),
        failures=(404,),
        events=True,
        shared=True,
    ),
    Route(
        method="GET",
        path="/v1/streams/{id}/readers",
        name="countReaders",
        about="How many readers are attached to the stream now.",
        handler=streams.readers,
        scope="read",
        parameters=(STREAM,),
        answers=(Answer(status=200, about="Their number; 0 once it has ended.", content={JSON: streams.Readers}),),
        failures=(404,),
    ),
    Route(
        method="POST",
        path="/v1/streams/{id}/append",
        name="appendToStream",
        about="Appends events to a stream that the caller fills, and renews its lease.",
        handler=streams.append,
        scope="generate",
        parameters=(STREAM,),
        bodies=(native_producer.Append,),
        answers=(Answer(status=200, about="They are in the log.", content={JSON: streams.Appended}),),
        failures=(404, 409, 413, 415, 429, 503),
        # A producer appends as often as it has something to say; its lease and the stream's size bound it. What is
        # refused, or brings nothing, the handler counts.
        limited=False,
    ),
    Route(
        method="POST",
        path="/v1/streams/{id}/cancel",
        name="cancelStream",
        about="Ends the stream and answers once it has ended, with whichever end won.",
        handler=streams.cancel,
        scope="cancel",
        parameters=(STREAM,),
        bodies=(native.CancelStream,),
        body_optional=True,
        answers=(Answer(status=200, about="It has ended.", content={JSON: streams.Cancellation}),),
        failures=(404, 413, 415, 504),
    ),
    Route(
        method="POST",
        path="/v1/streams/{id}/share",
        name="shareStream",
        about="Makes a token by which anybody may read this stream, and nothing else.",
        handler=shares.share,
        scope="read",
        parameters=(STREAM,),
        bodies=(native_share.ShareStream,),
        body_optional=True,
        answers=(Answer(status=200, about="The token, shown only now.", content={JSON: native_share.Shared}),),
        failures=(404, 409, 413, 415, 503),
    ),
    Route(
        method="DELETE",
        path="/v1/streams/{id}/share",
        name="unshareStream",
        about="Revokes all tokens of this stream; who reads by one is sent away.",
        handler=shares.unshare,
        scope="read",
        parameters=(STREAM,),
        answers=(Answer(status=204, about="They are revoked."),),
        failures=(404, 503),
    ),
    Route(
        method="POST",
        path="/v1/topics/{name}/messages",
        name="publish",
        about="Publishes a message to the topic; repeated with its key, it is published once.",
        handler=topics.publish,
        scope="publish",
        parameters=(TOPIC, IDEMPOTENCY_KEY),
        bodies=(native_topic.Publish,),
        answers=(Answer(status=200, about="It is in the topic.", content={JSON: native_topic.Published}),),
        failures=(409, 413, 415, 503),
    ),
    Route(
        method="GET",
        path="/v1/topics/{name}/events",
        name="followTopic",
        about="The topic's messages after the caller's position, and those to come.",
        handler=topics.follow,
        scope="subscribe",
        parameters=(TOPIC, LAST_EVENT_ID, LAST_EVENT_ID_IN_QUERY, PLACE, EVENTS_AS),
        answers=(Answer(status=200, about="The messages.", content={EVENTS: TOPIC_EVENTS}),),
        failures=(503,),
        events=True,
    ),
    Route(
        method="GET",
        path="/v1/topics/{name}/presence",
        name="getPresence",
        about="Who is subscribed to the topic.",
        handler=topics.presence,
        scope="subscribe",
        parameters=(TOPIC,),
        answers=(Answer(status=200, about="The principals.", content={JSON: list[native_topic.Present]}),),
    ),
    Route(
        method="GET",
        path=socket.SOCKET,
        name="connect",
        about="A WebSocket for any number of streams and topics, with the subprotocol `tidegate.v1`.",
        handler=socket.refuse_http,
        calls=SOCKET_CALLS,
        answers=(Answer(status=101, about="It is a WebSocket now.", headers=("upgrade", "sec-websocket-protocol")),),
        failures=(403, 426),
    ),
    Route(
        method="POST",
        path="/v1/session",
        name="beginSession",
        about="Sets the cookie of the server's own pages to an API key or JWT.",
        handler=session.begin,
        bodies=(session.OpenSession,),
        answers=(Answer(status=204, about="The cookie is set.", headers=("set-cookie",)),),
        failures=(401, 413, 415, 429, 503),
    ),
    Route(
        method="DELETE",
        path="/v1/session",
        name="endSession",
        about="Takes the cookie back.",
        handler=session.end,
        answers=(Answer(status=204, about="The cookie is gone.", headers=("set-cookie",)),),
    ),
    Route(
        method="POST",
        path="/v1/chat/completions",
        name="createChatCompletion",
        about="OpenAI's chat completions, streamed or whole.",
        handler=chat.complete,
        scope="generate",
        parameters=(ON_DISCONNECT,),
        bodies=(openai_chat.ChatCompletion,),
        answers=(
            Answer(
                status=200,
                about="The answer.",
                content={JSON: openai_chat_whole.ChatCompletion, EVENTS: CHAT_CHUNKS},
                headers=FOUND_AGAIN,
            ),
        ),
        failures=STARTING,
    ),
    Route(
        method="GET",
        path="/v1/models",
        name="listModels",
        about="The models there are, in OpenAI's shape.",
        handler=models.list_models,
        scope="generate",
        or_scopes=("read",),
        answers=(Answer(status=200, about="The models.", content={JSON: models.ModelList}),),
    ),
    Route(
        method="GET",
        path="/v1/models/{id:path}",
        name="getModel",
        about="One model, in OpenAI's shape.",
        handler=models.get_model,
        scope="generate",
        or_scopes=("read",),
        parameters=(Parameter(name="id", place="path", about="The model's name."),),
        answers=(Answer(status=200, about="The model.", content={JSON: models.ModelEntry}),),
        failures=(404,),
    ),
    Route(
        method="GET",
        path="/v1/admin/connections",
        name="listConnections",
        about="Who is connected, newest first: what each carries, and how far behind it is.",
        handler=admin.list_connections,
        scope="admin",
        parameters=(
            ADMIN_LIMIT,
            Parameter(
                name="transport",
                place="query",
                about="Only those of this transport.",
                schema={"type": "string", "enum": list(get_args(Transport))},
            ),
            Parameter(name="principal", place="query", about="Only those of this principal."),
        ),
        answers=(Answer(status=200, about="The newest of them.", content={JSON: admin.ConnectionList}),),
    ),
    Route(
        method="POST",
        path="/v1/admin/connections/{id}/close",
        name="closeConnection",
        about="Asks the client to go and come back: a reader gets `reconnect`, a WebSocket is closed.",
        handler=admin.close,
        scope="admin",
        parameters=(Parameter(name="id", place="path", about="The connection's id."),),
        answers=(Answer(status=204, about="It was asked, or had been before."),),
        failures=(404,),
    ),
    Route(
        method="GET",
        path="/v1/admin/streams",
        name="listAllStreams",
        about="Everybody's streams, newest first, with their owners and the readers attached.",
        handler=admin.list_streams,
        scope="admin",
        parameters=(ADMIN_LIMIT, BEFORE, STATUS),
        answers=(Answer(status=200, about="A page.", content={JSON: admin.OwnedStreamList}),),
        failures=(404,),
    ),
    Route(
        method="GET",
        path="/metrics",
        name="readMetrics",
        about="All that is measured, for Prometheus. Whoever calls from this machine needs no credentials.",
        handler=metrics.metrics,
        scope="metrics",
        local=True,
        limited=False,
        answers=(Answer(status=200, about="The metrics.", content=dict.fromkeys(METRICS)),),
        failures=(404, 503),
    ),
    Route(
        method="POST",
        path="/v1/probe",
        name="probe",
        about="What of this request has arrived: proxies in between may change it.",
        handler=probe.probe,
        scope="generate",
        bodies=(native_probe.Probe,),
        body_optional=True,
        answers=(Answer(status=200, about="What has arrived.", content={JSON: native_probe.Arrived}),),
        failures=(413, 415),
    ),
    Route(
        method="GET",
        path="/healthz",
        name="isAlive",
        about="Whether the process is alive.",
        handler=probes.alive,
        answers=(Answer(status=200, about="It is.", content={JSON: probes.Health}),),
    ),
    Route(
        method="GET",
        path="/readyz",
        name="isReady",
        about="Whether new generations are taken.",
        handler=probes.ready,
        answers=(Answer(status=200, about="They are.", content={JSON: probes.Health}),),
        failures=(503,),
    ),
    Route(
        method="GET",
        path="/openapi.json",
        name="getOpenAPI",
        about="This description.",
        handler=pages.openapi,
        answers=(Answer(status=200, about="An OpenAPI 3.1 document.", content={JSON: None}),),
    ),
    Route(
        method="GET",
        path="/docs",
        name="getDocs",
        about="The same for people.",
        handler=pages.docs,
        answers=(Answer(status=200, about="A page.", content={HTML: None}),),
    ),
    Route(
        method="GET",
        path="/",
        name="getChatPage",
        about="The chat page.",
        handler=pages.chat,
        answers=(Answer(status=200, about="A page.", content={HTML: None}),),
    ),
    Route(
        method="GET",
        path="/s/{token}",
        name="getSharedPage",
        about="The shared view of one stream.",
        handler=shares.show,
        parameters=(Parameter(name="token", place="path", about="A share token."),),
        answers=(
            Answer(status=200, about="A page.", content={HTML: None}),
            Answer(status=404, about="A page that says that the link is not valid.", content={HTML: None}),
        ),
        failures=(429, 503),
    ),
    Route(
        method="GET",
        path="/room/{name}",
        name="getRoomPage",
        about="A room: several people and the model in one conversation.",
        handler=pages.room,
        parameters=(TOPIC,),
        answers=(Answer(status=200, about="A page.", content={HTML: None}),),
    ),
    Route(
        method="GET",
        path="/web/{file}",
        name="getWebFile",
        about="What the pages are made of.",
        handler=pages.file,
        parameters=(Parameter(name="file", place="path", about="The file's name."),),
        answers=(Answer(status=200, about="The file.", content=dict.fromkeys(MEDIA_TYPES.values())),),
        failures=(404,),
    ),
)
