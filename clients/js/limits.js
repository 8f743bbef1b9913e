/**
 * How long the client waits, and how much it holds.
 *
 * They stand in a file without imports, since bundlers put the numbers of such a one where they are used.
 */

// Of a following.

export const FIRST_DELAY_MS = 1000;

/** A server restarts under all of its readers at once: up to half a delay more, at random, spreads them. */
export const JITTER = 0.5;

/** A server's slip must not silence a client for days. */
export const MAX_ASKED_MS = 300_000;

/** After so much of the heartbeat's interval without a byte a connection is given up. */
export const HEARTBEATS = 1.6;

/** A try that has had no answer for so long is made again when there is a sign that the network is back. */
export const STALE_MS = 2000;

// Of a call.

/** A call that nobody answers is a broken connection, too. */
export const ANSWER_MS = 30_000;

// Of an event stream.

/** Longer than any line of a server. What has no end must not fill the memory. */
export const MAX_LINE = 1 << 24;

// Of a socket.

/** A socket that was silent for so long is asked whether it lives, and given so long to answer: scripts cannot see the
 * pings of the protocol itself. */
export const SOCKET_SILENCE_MS = 15_000;
export const PONG_MS = 9000;

/** A server that leaves may send all of its clients away at once: they come back spread over this. */
export const SPREAD_MS = 1000;

/** So many events of a topic may wait to be taken. A socket cannot be told to wait: what comes beyond them is dropped,
 * and asked for again. */
export const MAX_EVENTS = 1000;

// Of a producer.

/** So many characters may wait; beyond it `await` waits, too. */
export const MAX_CHARACTERS = 1_000_000;

/** What one request takes, so that it is over long before the lease is. */
export const BATCH = 50_000;

/** A server's default, until it has told its own. */
export const LEASE_SECONDS = 5;
