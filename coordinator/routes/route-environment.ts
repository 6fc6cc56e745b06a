// What the middleware of the routes hands on to those behind it.

import type { Ports } from './ports.ts'
import type { Refusals } from './refusals.ts'
import type { ShownToken } from './tokens.ts'

/** As far as the token itself says; the object that it is for says whether it was revoked. */
type Shown =
  | { readonly kind: 'admin'; readonly fingerprint: string }
  | { readonly kind: 'profile-code'; readonly code: string }
  | (ShownToken & { readonly hash: Uint8Array })

type Variables = {
  caller: Shown
  ports: Ports
  requestId: string
  refusals: Refusals
  /** Under which refusals of this caller are counted; null for the administrator. */
  refusalKey: string | null
}
type RouteEnvironment<Bindings extends object = object> = { Bindings: Bindings; Variables: Variables }

export type { RouteEnvironment, Shown }
