// How an agent goes on after tasks that came to nothing: at once as long as they are few, then later and later, and a task
// that failed here is left to others for a while.

type Patience = {
  /** So many tasks in a row may come to nothing before the agent waits. */
  readonly troublesInARow: number
  /** Waiting begins with this and doubles. */
  readonly firstMs: number
  readonly longestMs: number
}

/** A timer may ring this much before its time. */
const TIMER_SLACK_MS = 2

const PATIENCE: Patience = { troublesInARow: 5, firstMs: 2000, longestMs: 60_000 }

type Troubles = {
  /** A task was delivered. */
  over(taskId: number): void
  /** The numbers of a task were not fit to be stored. */
  refused(): void
  /** A task could not be done. */
  failed(taskId: number, nowMs: number): void
  readonly inARow: number
  /** How long to wait before the next task; asked a second time without new trouble, 0. */
  takePauseMs(): number
  /** How long this task is to be left to others yet. */
  restMs(taskId: number, nowMs: number): number
}

function createTroubles(patience: Patience = PATIENCE): Troubles {
  const failures = new Map<number, { times: number; retryAtMs: number }>()
  let inARow = 0
  let pauseMs = 0

  const delayMs = (doublings: number) => Math.min(patience.longestMs, patience.firstMs * 2 ** doublings)
  const trouble = () => {
    inARow += 1
    const beyond = inARow - patience.troublesInARow
    if (beyond >= 0) pauseMs = delayMs(beyond)
  }

  return {
    over(taskId) {
      failures.delete(taskId)
      inARow = 0
      pauseMs = 0
    },
    refused: trouble,
    failed(taskId, nowMs) {
      trouble()
      const times = (failures.get(taskId)?.times ?? 0) + 1
      failures.set(taskId, { times, retryAtMs: nowMs + delayMs(times - 1) })
    },
    get inARow() {
      return inARow
    },
    takePauseMs() {
      const taken = pauseMs
      pauseMs = 0
      return taken
    },
    restMs(taskId, nowMs) {
      const restMs = (failures.get(taskId)?.retryAtMs ?? nowMs) - nowMs
      return restMs > TIMER_SLACK_MS ? Math.ceil(restMs) : 0
    },
  }
}

export { createTroubles, type Patience }
