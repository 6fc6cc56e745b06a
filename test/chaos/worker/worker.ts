// The coordinator on a clock that can be set: `POST /v1/clock` with milliseconds from the right time. What was set is forgotten when the
// runtime ends, as by a machine that asks for the time when it starts.

import worker, { SearchObject as Search } from '../../../coordinator/index.ts'
import type { Environment } from '../../../coordinator/objects/environment.ts'

const CLOCK = '/v1/clock'

const rightTime = Date.now.bind(Date)
let offsetMs = 0
Date.now = () => rightTime() + offsetMs

let hasOwnAlarms = false

/** The runtime rings alarms by the right time: after as long as there was to wait when they were set, however the clock was set since. */
function ringByOffset(storage: DurableObjectStorage): void {
  if (hasOwnAlarms) return
  hasOwnAlarms = true
  const prototype = Object.getPrototypeOf(storage) as Pick<DurableObjectStorage, 'getAlarm' | 'setAlarm'>
  const { getAlarm, setAlarm } = prototype
  prototype.setAlarm = function (this: DurableObjectStorage, atMs, options) {
    return setAlarm.call(this, Number(atMs) - offsetMs, options)
  }
  prototype.getAlarm = async function (this: DurableObjectStorage, options) {
    const atMs = await getAlarm.call(this, options)
    return atMs === null ? null : atMs + offsetMs
  }
}

class SearchObject extends Search {
  constructor(state: DurableObjectState, environment: Environment) {
    super(state, environment)
    ringByOffset(state.storage)
  }
}

export default {
  async fetch(request, environment, context) {
    if (new URL(request.url).pathname !== CLOCK) return worker.fetch(request, environment, context)
    offsetMs = Number(await request.text())
    return new Response(null, { status: 204 })
  },
} satisfies ExportedHandler<Environment>
export { DirectoryObject, ProfileObject, TrainingObject, WeightsObject } from '../../../coordinator/index.ts'
export { SearchObject }
