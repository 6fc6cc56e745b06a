// When weights of others are pulled while a task trains: as soon as the agent's own last differences are delivered, since
// the others' are then as well, and once more at half of the steps. What was learnt from weights that are up to half a task
// old is worth as much as from new ones; from weights a whole task old it is not.

type Refresh = {
  /** To be asked between two steps; true at most twice. */
  isDue(stepsDone: number, steps: number, isDelivered: boolean): boolean
}

/** `awaitsDelivery`: own differences were still under way when the task began, so that its weights were pulled before. */
function createRefresh(awaitsDelivery: boolean): Refresh {
  let isFirstDue = awaitsDelivery
  let isHalfDue = true
  return {
    isDue(stepsDone, steps, isDelivered) {
      const isHalf = stepsDone > 0 && stepsDone * 2 >= steps
      const isFirst = isFirstDue && isDelivered
      if (!isFirst && !(isHalf && isHalfDue)) return false
      if (isFirst) isFirstDue = false
      if (isHalf) isHalfDue = false
      return true
    },
  }
}

export { createRefresh, type Refresh }
