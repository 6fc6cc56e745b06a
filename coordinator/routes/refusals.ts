// How often somebody may be refused. Whoever is refused too often is turned away for a while before anything is done for the request:
// an agent by its token, everybody else by network address, so that a stranger keeps no agent behind the same address from its work.

/** How long somebody is turned away. */
const TURNED_AWAY_MS = 10_000
/** As many are remembered at a time; the counts themselves are the port's. */
const MAX_TURNED_AWAY = 10_000
const IPV6_GROUPS = 8
/** Of an IPv6 address: whoever has one has all of its network. */
const NETWORK_GROUPS = 4

/** Counts a refusal under a key; false once there were too many. */
type RefusalsPort = (key: string) => Promise<boolean>

type Refusals = {
  isTurnedAway(key: string): boolean
  /** Whether that was one too many. */
  count(key: string, port: RefusalsPort): Promise<boolean>
}

function createRefusals(now: () => number = Date.now): Refusals {
  const turnedAwayUntilMs = new Map<string, number>()
  return {
    isTurnedAway: (key) => (turnedAwayUntilMs.get(key) ?? 0) > now(),
    async count(key, port) {
      if (await port(key)) return false
      if (turnedAwayUntilMs.size >= MAX_TURNED_AWAY) turnedAwayUntilMs.clear()
      turnedAwayUntilMs.set(key, now() + TURNED_AWAY_MS)
      return true
    },
  }
}

/** The network that an address belongs to: an IPv4 address by itself, of an IPv6 address the first 64 bits. */
function networkOf(address: string): string {
  if (!address.includes(':')) return address
  const [head = '', tail = ''] = address.split('::')
  const [first, last] = [head, tail].map((part) => (part === '' ? [] : part.split(':'))) as [string[], string[]]
  const zeros = Math.max(0, IPV6_GROUPS - first.length - last.length)
  const groups = address.includes('::') ? [...first, ...Array.from({ length: zeros }, () => '0'), ...last] : first
  return groups.slice(0, NETWORK_GROUPS).join(':')
}

export { createRefusals, networkOf, type Refusals, type RefusalsPort, TURNED_AWAY_MS }
