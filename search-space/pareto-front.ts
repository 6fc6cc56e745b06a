/** Which way is better. */
type Better = 'low' | 'high'

type Point = { readonly x: number; readonly y: number }

/**
 * The points that no other beats: none is at least as good in both and better in one. Ordered by x; of equal points the
 * first. Points that are not finite never count.
 */
function paretoFront<P extends Point>(points: readonly P[], better: { readonly x: Better; readonly y: Better }): P[] {
  const cost = (value: number, direction: Better) => (direction === 'low' ? value : -value)
  const front: P[] = []
  const byX = points
    .filter(({ x, y }) => Number.isFinite(x) && Number.isFinite(y))
    .toSorted((a, b) => cost(a.x, better.x) - cost(b.x, better.x) || cost(a.y, better.y) - cost(b.y, better.y))
  for (const point of byX) {
    const best = front.at(-1)
    if (!best || cost(point.y, better.y) < cost(best.y, better.y)) front.push(point)
  }
  return front.toSorted((a, b) => a.x - b.x)
}

export { type Better, paretoFront, type Point }
