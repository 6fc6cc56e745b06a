// The address under which a phone finds the coordinator. One on this machine is at 127.0.0.1 for us and at another address
// for everybody else, if it listens there at all.

import { networkInterfaces } from 'node:os'
import { CliError } from '../command-line/exit-codes.ts'
import { isLoopback } from '../command-line/connection.ts'
import { NEIGHBOUR_TIMEOUT_MS } from './limits.ts'

type LinkOrigin = {
  /** Without a slash at the end. */
  readonly origin: string
  /** What its user should know; null where there is nothing. */
  readonly note: string | null
}

/** IPv4 addresses of this machine in its networks. */
function ownAddresses(): string[] {
  return Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter(({ family, internal }) => family === 'IPv4' && !internal)
    .map(({ address }) => address)
}

async function answers(origin: string, signal: AbortSignal): Promise<boolean> {
  try {
    const response = await fetch(`${origin}/health`, { signal: AbortSignal.any([signal, AbortSignal.timeout(NEIGHBOUR_TIMEOUT_MS)]) })
    return response.ok
  } catch {
    signal.throwIfAborted()
    return false
  }
}

/** Throws CliError `usage` for a wanted address that is none. */
async function findLinkOrigin(coordinatorUrl: string, wanted: string | undefined, signal: AbortSignal): Promise<LinkOrigin> {
  if (wanted !== undefined) {
    const url = URL.parse(wanted)
    if (!url || (url.protocol !== 'http:' && url.protocol !== 'https:'))
      throw new CliError('usage', `expected --origin to be an address such as https://gatehouse.example.com, got "${wanted}"`)
    return { origin: url.origin, note: null }
  }
  const url = new URL(coordinatorUrl)
  if (!isLoopback(url.hostname)) return { origin: url.origin, note: null }
  for (const address of ownAddresses()) {
    const origin = `${url.protocol}//${address}${url.port === '' ? '' : `:${url.port}`}`
    if (await answers(origin, signal)) return { origin, note: 'the device has to be in the same network as this machine' }
  }
  const note = 'only browsers on this machine reach this coordinator: for phones start it with "gatehouse up --host 0.0.0.0", or deploy it'
  return { origin: url.origin, note }
}

export { findLinkOrigin }
