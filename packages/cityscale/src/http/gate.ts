import { CityScaleError } from "../core/index.ts";

/** Lets a few pieces of work run at once; the next few wait in turn. */
export interface Gate {
  /** Throws RATE_LIMITED when too many wait already. The caller calls what it gets back when it is done. */
  enter(): Promise<() => void>;
  run<T>(work: () => Promise<T>): Promise<T>;
}

export function createGate(what: string, { running, waiting }: { running: number; waiting: number }): Gate {
  const queue: (() => void)[] = [];
  let active = 0;
  const leaver = () => {
    let left = false;
    return () => {
      if (left) return;
      left = true;
      const next = queue.shift();
      // The place is handed on, so that nobody slips in between.
      if (next) next();
      else active--;
    };
  };
  const enter = async () => {
    if (active < running) active++;
    else {
      if (queue.length >= waiting) throw new CityScaleError("RATE_LIMITED", `too many ${what} are under way`);
      await new Promise<void>((resolve) => queue.push(resolve));
    }
    return leaver();
  };
  return {
    enter,
    run: async (work) => {
      const leave = await enter();
      try {
        return await work();
      } finally {
        leave();
      }
    },
  };
}
