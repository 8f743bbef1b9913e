"""Wire shapes of the same events. Pure: `parse` turns a body into a request, `encode` turns an event into bytes."""
