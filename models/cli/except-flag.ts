// Parts of a network that do not start from given weights.

import type { ArgsDef } from 'citty'
import { REPEATABLE_HINT } from '../../command-line/dispatch.ts'
import { CliError } from '../../command-line/exit-codes.ts'
import type { Except } from '../../engine/training/initial-weights.ts'

const exceptFlag = {
  except: {
    type: 'string',
    valueHint: `PART${REPEATABLE_HINT}`,
    description:
      'with --weights: a part of the network that starts from random weights all the same, such as classifier, for other classes',
  },
} satisfies ArgsDef

/** @param seed of the random weights. Throws CliError `usage` where there are no weights to except from. */
function parseExcept(weights: string | undefined, parts: readonly string[], seed: number): Except {
  if (parts.length > 0 && weights === undefined) throw new CliError('usage', '--except is for --weights, which is not given')
  return { parts, seed }
}

export { exceptFlag, parseExcept }
