/**
 * Time of a call: the least of what passed on the wall and what the process computed. On a busy machine
 * the first counts what others did in between, from calls of a few milliseconds on nearly always; the
 * second is left out where it ticks too coarsely, and of short calls, as it counts whole microseconds.
 */

/** Microseconds below which only the wall's clock counts. */
const SHORT = 100;

/** Returns a function that runs something and returns the microseconds it took. */
export function stopwatch(): (run: () => void) => number {
  const wall = (): number => 1000 * performance.now();
  const cpu = ticksFinely() ? computed : wall;
  return (run) => {
    const [busy, started] = [cpu(), wall()];
    run();
    const passed = wall() - started;
    const worked = cpu() - busy;
    return worked < SHORT ? passed : Math.min(passed, worked);
  };
}

/** Microseconds of all threads. */
function computed(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

/** True where the time of the process moves on within a few microseconds: most of many readings differ. */
function ticksFinely(): boolean {
  const seen = new Set<number>();
  for (let reading = 0; reading < 2000; reading++) seen.add(computed());
  return seen.size > 100;
}
