/** Numbers of the WebSocket's protocol: the id of calls whose answer nobody waits for, and why a server closes. */

export const UNHEARD = 0;

export const GOING_AWAY = 1001;
export const TOO_LARGE = 1009;

/** From here on they are statuses of HTTP with 4000 added. */
export const OWN = 4000;
export const EXPIRED = 4401;
