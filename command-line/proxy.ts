// HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY. Node's fetch goes by them only where NODE_USE_ENV_PROXY is set when it starts (from 22.21 on),
// so a command that finds a proxy begins again, as the same process, with that set. Threads inherit it.

import { CliError } from './exit-codes.ts'
import { isNewEnough } from './launch.ts'

type Env = Readonly<Record<string, string | undefined>>

/** The first Node whose fetch goes by the variables. */
const NEEDED = [22, 21] as const
/** This machine is reached without help, whatever the variables say: coordinators of one machine have to be. */
const OWN_NAMES = ['localhost', '127.0.0.1', '[::1]']
/** By what is asked for: names in the order in which Node looks at them. */
const VARIABLES = { http: ['http_proxy', 'HTTP_PROXY'], https: ['https_proxy', 'HTTPS_PROXY'] } as const
/** For both, where they have none of their own; curl and others know it, Node does not. */
const FOR_ALL = ['all_proxy', 'ALL_PROXY'] as const

type ProxyPlan =
  | { readonly kind: 'none' }
  /** With this environment. */
  | { readonly kind: 'restart'; readonly env: Record<string, string> }

/** Throws CliError `usage` for a proxy that cannot be used; ignoring it would send to the network what was not meant for it. */
function planProxy(env: Env, node: { readonly version: string; readonly canRestart: boolean }): ProxyPlan {
  const isSet = (name: string) => (env[name] ?? '') !== ''
  const forAll = FOR_ALL.find(isSet)
  /** Those that Node finds nothing for by itself, while `forAll` says something. */
  const added = Object.values(VARIABLES).flatMap((names) => (forAll === undefined || names.some(isSet) ? [] : [names[0]]))
  const set = [...Object.values(VARIABLES).flat().filter(isSet), ...(added.length > 0 && forAll !== undefined ? [forAll] : [])]
  const except = env['no_proxy'] ?? env['NO_PROXY'] ?? ''
  const goesByItself = env['NODE_USE_ENV_PROXY'] !== undefined && added.length === 0
  if (set.length === 0 || except.trim() === '*' || goesByItself) return { kind: 'none' }
  for (const name of set) {
    const protocol = URL.parse(env[name] as string)?.protocol
    if (protocol === 'http:' || protocol === 'https:') continue
    // Not the value, which may hold a password.
    throw new CliError(
      'usage',
      `expected ${name} to be the address of an HTTP proxy such as http://proxy.example.com:3128; correct or unset it`,
    )
  }
  const knows = isNewEnough(node.version, NEEDED)
  if (!knows || !node.canRestart) {
    throw new CliError(
      'usage',
      `${set.join(', ')} is set, which this command does not go by ${knows ? 'by itself here: set NODE_USE_ENV_PROXY=1 too' : `with Node ${node.version}: use ${NEEDED.join('.')} or newer`}, ` +
        'or unset it, or set NO_PROXY=* to connect directly',
    )
  }
  const kept = Object.fromEntries(Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined))
  const named = Object.fromEntries(added.map((name) => [name, env[forAll ?? ''] as string]))
  return {
    kind: 'restart',
    env: { ...kept, ...named, NODE_USE_ENV_PROXY: '1', no_proxy: [except, ...OWN_NAMES].filter(Boolean).join(',') },
  }
}

/** Does not return where there is a proxy to be used. Throws CliError `usage`. */
function useProxy(): void {
  const canRestart = typeof process.execve === 'function' && process.platform !== 'win32'
  const plan = planProxy(process.env, { version: process.versions.node, canRestart })
  if (plan.kind === 'none') return
  // Node says that its proxies are experimental, which is no news to whoever has set one.
  const args = [process.execPath, '--disable-warning=UNDICI-EHPA', ...process.execArgv, ...process.argv.slice(1)]
  process.execve?.(process.execPath, args, plan.env)
}

export { planProxy, useProxy }
