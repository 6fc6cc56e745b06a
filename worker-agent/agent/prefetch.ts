// When the next task is leased and its weights are pulled: as late as can be, since weights that are pulled early are old when
// they are used.

/** The next lease and pull are started when the rest of the task takes this many times as long as they last took. */
const PREFETCH_MARGIN = 2
/** Plus one step, since the network is only served between steps. */
const PREFETCH_STEPS = 2

/** `exchangeMs`: what lease and pull last took; infinite before that is known, as `stepMs` is before a first step. */
function isPrefetchDue(stepsLeft: number, stepMs: number, exchangeMs: number): boolean {
  const soonMs = PREFETCH_MARGIN * exchangeMs + PREFETCH_STEPS * stepMs
  return stepsLeft <= PREFETCH_STEPS || stepsLeft * stepMs <= soonMs
}

/**
 * What others wait for until they have what this agent learnt, as far as it is known: its last delivery, and a lease and a pull. As
 * long as nothing was delivered, a push and a submit are taken to last as long as these. Null before the first lease.
 */
function exchangeTime(exchangeMs: number, deliveryMs: number | null): number | null {
  return Number.isFinite(exchangeMs) ? exchangeMs + (deliveryMs ?? exchangeMs) : null
}

export { exchangeTime, isPrefetchDue }
