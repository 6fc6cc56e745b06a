// Selection of NSGA-II (Deb, Pratap, Agarwal and Meyarivan 2002, "A fast and elitist multiobjective genetic algorithm: NSGA-II", sections
// III A and B): candidates by the rank of their front, the first being those that no other dominates, and of one front by crowding
// distance, the sum over objectives of how far apart the two neighbours are, as a share of the front's range.

/** What is minimised, one number for each objective. */
type Objectives = readonly number[]

type Standing = {
  /** Of its front, from 0. */
  readonly rank: number
  /** Infinite at the ends of a front. */
  readonly crowding: number
}

/** Whether one is nowhere worse than the other, and somewhere better. */
function dominates(one: Objectives, other: Objectives): boolean {
  return one.every((value, i) => value <= (other[i] as number)) && one.some((value, i) => value < (other[i] as number))
}

/** Indices of each front, the first front first. */
function nonDominatedFronts(points: readonly Objectives[]): number[][] {
  const dominated = points.map((point) => points.flatMap((other, index) => (dominates(point, other) ? [index] : [])))
  const dominators = points.map(() => 0)
  for (const index of dominated.flat()) dominators[index] = (dominators[index] as number) + 1
  const fronts: number[][] = []
  let front = dominators.flatMap((count, index) => (count === 0 ? [index] : []))
  while (front.length > 0) {
    fronts.push(front)
    const next: number[] = []
    for (const index of front) {
      for (const other of dominated[index] as number[]) {
        const left = (dominators[other] as number) - 1
        dominators[other] = left
        if (left === 0) next.push(other)
      }
    }
    front = next.toSorted((a, b) => a - b)
  }
  return fronts
}

/** Of the members of one front, in their order. */
function crowdingDistances(points: readonly Objectives[]): number[] {
  const distances = points.map(() => 0)
  const objectives = points[0]?.length ?? 0
  for (let objective = 0; objective < objectives; objective++) {
    const value = (index: number) => points[index]?.[objective] as number
    const order = points.map((_, index) => index).toSorted((a, b) => value(a) - value(b))
    const [first, last] = [order[0] as number, order.at(-1) as number]
    const range = value(last) - value(first)
    for (const end of [first, last]) distances[end] = Number.POSITIVE_INFINITY
    if (range === 0) continue
    for (let i = 1; i < order.length - 1; i++) {
      const index = order[i] as number
      distances[index] = (distances[index] as number) + (value(order[i + 1] as number) - value(order[i - 1] as number)) / range
    }
  }
  return distances
}

/** Where each of the points stands among all. */
function standings(points: readonly Objectives[]): Standing[] {
  const found: Standing[] = []
  for (const [rank, front] of nonDominatedFronts(points).entries()) {
    const distances = crowdingDistances(front.map((index) => points[index] as Objectives))
    for (const [i, index] of front.entries()) found[index] = { rank, crowding: distances[i] as number }
  }
  return found
}

/** Below 0 where `one` is to be preferred. */
function compareStandings(one: Standing, other: Standing): number {
  if (one.rank !== other.rank) return one.rank - other.rank
  return one.crowding === other.crowding ? 0 : other.crowding - one.crowding
}

/** Indices of the `count` that live on, in rising order; of equals those that come later, which are the younger. */
function survivors(points: readonly Objectives[], count: number): number[] {
  const all = standings(points)
  return points
    .map((_, index) => index)
    .toSorted((a, b) => compareStandings(all[a] as Standing, all[b] as Standing) || b - a)
    .slice(0, count)
    .toSorted((a, b) => a - b)
}

export { compareStandings, crowdingDistances, nonDominatedFronts, type Objectives, type Standing, standings, survivors }
