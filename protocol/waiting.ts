// How long an agent waits before it asks again. Each wait in a row is a little longer than the one before, up to what the coordinator says for the
// state of its search: whoever waits for work asks too late by a quarter of the time that it has waited at most, and whoever waits for a day asks
// seldom. Waits are shortened at random, so that agents that began together do not ask together. Who listens for wake-ups waits long at once.

import * as z from 'zod'

/** From one wait to the next. */
const WAIT_GROWTH = 1.25
/** Of a wait, that chance may take off. */
const WAIT_JITTER = 0.25

const listeningRetryField = z
  .int()
  .min(0)
  .optional()
  .describe('how long while a socket for wake-ups is open; absent: no socket is worth while')

type Wait = {
  readonly retryAfterMs: number
  readonly retryAtMostMs?: number | undefined
  readonly listeningRetryMs?: number | undefined
}

/**
 * Milliseconds of a wait.
 *
 * @param waits how many there were in a row before this one
 * @param random uniform in [0, 1)
 * @param isListening whether a socket for wake-ups is open
 */
function waitMs(
  { retryAfterMs, retryAtMostMs = retryAfterMs, listeningRetryMs }: Wait,
  waits: number,
  random: number,
  isListening = false,
): number {
  const grownMs = Math.min(Math.max(retryAfterMs, retryAtMostMs), retryAfterMs * WAIT_GROWTH ** waits)
  return (isListening && listeningRetryMs !== undefined ? listeningRetryMs : grownMs) * (1 - WAIT_JITTER * random)
}

export { listeningRetryField, type Wait, waitMs }
