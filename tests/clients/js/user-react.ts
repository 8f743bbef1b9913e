/** A component by a user who writes TypeScript. */

import { useEffect } from 'react';
import { useStream, useTopic, type StreamShown, type ToolCall } from 'tidegate/react';

export function useEverything(room: string | null): [StreamShown['status'], string] {
  const answer = useStream({ base: 'http://127.0.0.1:8000', remember: 'answer', transport: 'sse' });
  const { messages, presence, publish } = useTopic(room, { limit: 10, after: 'earliest' });
  const calls: ToolCall[] = answer.toolCalls;
  useEffect(() => {
    if (messages.length) void publish({ text: answer.text, calls, presence });
    else answer.start({ model: 'replay', prompt: 'x' });
  });
  // @ts-expect-error: there is no such status.
  if (answer.status === 'thinking') void answer.stop();
  return [answer.status, messages[0]?.from ?? ''];
}
