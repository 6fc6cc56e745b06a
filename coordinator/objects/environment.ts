// What wrangler.toml binds. Objects know of it only what they use, so that no two of them need each other.

import type { DirectoryObject } from './directory-object.ts'
import type { ProfileObject } from './profile-object.ts'
import type { SearchObject } from './search-object.ts'
import type { TrainingObject } from './training-object.ts'
import type { WeightsObject } from './weights-object.ts'

type Environment = {
  readonly SEARCH: DurableObjectNamespace<SearchObject>
  readonly WEIGHTS: DurableObjectNamespace<WeightsObject>
  readonly DIRECTORY: DurableObjectNamespace<DirectoryObject>
  readonly PROFILE: DurableObjectNamespace<ProfileObject>
  readonly TRAINING: DurableObjectNamespace<TrainingObject>
  readonly LATENCY_TABLES: KVNamespace
  /** Secret. Who knows it may do everything. */
  readonly ADMIN_TOKEN: string
  /** Secret: the admin token before it, good while it is replaced. */
  readonly ADMIN_TOKEN_PREVIOUS?: string
  /** Which requests are logged: `all`, `failures` or `none`. */
  readonly LOG_REQUESTS?: string
  /** Who is told of phases of all searches, and the secret that this is signed with. */
  readonly WEBHOOK_URL?: string
  readonly WEBHOOK_SECRET?: string
  /** Counts refusals by caller. */
  readonly REFUSALS?: RateLimit
}

export type { Environment }
