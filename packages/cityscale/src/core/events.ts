import { messageOf } from "./errors.ts";
import type { Log } from "./log.ts";

/** What happened, for whoever listens. `Events` maps each event's name to what it carries. */
export interface EventHub<Events extends object> {
  /** Returns the function that stops listening. */
  on<Name extends keyof Events & string>(name: Name, listener: (event: Events[Name]) => void): () => void;
  emit<Name extends keyof Events & string>(name: Name, event: Events[Name]): void;
}

/** Listeners are called at once and in order; one that throws is logged and harms neither the others nor the sender. */
export function createEvents<Events extends object>(log: Log): EventHub<Events> {
  const listeners = new Map<string, Set<(event: never) => void>>();
  return {
    on: (name, listener) => {
      const set = listeners.get(name) ?? new Set();
      listeners.set(name, set);
      set.add(listener);
      return () => set.delete(listener);
    },
    emit: (name, event) => {
      for (const listener of [...(listeners.get(name) ?? [])]) {
        try {
          listener(event as never);
        } catch (error) {
          log.error({ event: name, error: messageOf(error) }, "a listener failed");
        }
      }
    },
  };
}
