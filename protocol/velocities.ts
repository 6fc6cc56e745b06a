// Velocities of the optimiser on the wire: beside their weights, on the same shard, pulled and pushed like them. They start
// as zeros. Agents of a round move those of operations, which change hands; docs/scaling.md has what that is worth.

/** As in checkpoints. No block of a space is called so. */
const PREFIX = 'velocity/'

/** The key of a weight's velocity. */
function velocityKey(weightKey: string): string {
  return `${PREFIX}${weightKey}`
}

function isVelocityKey(key: string): boolean {
  return key.startsWith(PREFIX)
}

/** The weight whose velocity a key is, or the key itself. */
function weightKeyOf(key: string): string {
  return isVelocityKey(key) ? key.slice(PREFIX.length) : key
}

export { isVelocityKey, velocityKey, weightKeyOf }
