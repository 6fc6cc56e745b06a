// When weights of others are pulled while a task trains: as soon as the agent's own last differences are delivered, since
// the others' are then as well, and once more at half of the steps. The later the others' weights come, the less is what
// was learnt before worth; a whole task late it is worth hardly more than without them (docs/scaling.md).

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
