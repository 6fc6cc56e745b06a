// In which order the steps of a task are done, and which of them side by side. Turn t of a wave belongs to thread t mod n.

/** What one thread does without a word from the others: steps of one lane, in their order. */
type Turn = readonly number[]

type Wave = {
  readonly turns: readonly Turn[]
  /** Steps that follow, this wave's included; with lanes, those of each lane. */
  readonly stepsLeft: number
}

const range = (from: number, to: number): number[] => Array.from({ length: Math.max(0, to - from) }, (_, i) => from + i)

/** Steps that leave the weights alone, `perTurn` of them in a row. */
function planFrozen(steps: number, perTurn: number, threads: number): Wave[] {
  const perWave = perTurn * threads
  return Array.from({ length: Math.ceil(steps / perWave) }, (_, wave) => {
    const from = wave * perWave
    const turns = range(0, threads).map((thread) => range(from + thread * perTurn, Math.min(steps, from + (thread + 1) * perTurn)))
    return { turns: turns.filter((turn) => turn.length > 0), stepsLeft: steps - from }
  })
}

/** The turns of one thread in a wave, with their numbers in it. */
function turnsOf({ turns }: Wave, thread: number, threads: number): { lane: number; steps: Turn }[] {
  return turns.map((steps, lane) => ({ lane, steps })).filter(({ lane }) => lane % threads === thread)
}

export { planFrozen, range, type Turn, turnsOf, type Wave }
