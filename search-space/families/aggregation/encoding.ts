// Architectures as text: stage by stage, for each layer that has something to choose what it reads beside the output just before it, as in
// `stage1=|+|concat~0|+|sum~0|concat~2|;stage2=|+|+|`. Layers are units from the second on and, last, what follows the stage. Outputs are
// numbered within their stage: 0 is what it begins with, 1 the first unit's. What is left out is `none`.

import { findOption } from '../../encoding.ts'
import { type Decision, type Encoding, type Path, SpaceError } from '../../space.ts'
import type { Edge, Plan, Reader } from './plan.ts'

const NONE = 'none'

function refuse(message: string): never {
  throw new SpaceError('encoding', 'architecture', message)
}

/** Layers of a stage that may have edges. */
function readersOf(plan: Plan): readonly (readonly Reader[])[] {
  return plan.stages.map(({ units, exit }) => [...units.slice(1), exit])
}

function aggregationEncoding(plan: Plan): Encoding {
  const { decisions } = plan
  const stages = readersOf(plan)
  const nameOf = (path: Path, decision: number) => decisions[decision]?.options[path[decision] as number]?.name as string
  const print = (path: Path) =>
    stages
      .map((readers, stage) => {
        const groups = readers.map(({ edges }) => {
          const read = edges.flatMap(({ source, decision }) => {
            const name = decision === null ? NONE : nameOf(path, decision)
            return name === NONE ? [] : [`${name}~${source}|`]
          })
          return `|${read.join('')}`
        })
        return `stage${stage + 1}=${groups.join('+')}`
      })
      .join(';')

  const edgeOf = ({ name, edges }: Reader, source: number): Edge & { decision: number } => {
    const chosen = edges.filter((edge): edge is Edge & { decision: number } => edge.decision !== null)
    const found = chosen.find((edge) => edge.source === source)
    if (found) return found
    const known = chosen.map((edge) => edge.source).join(', ') || 'no output'
    return refuse(`${name} chooses what it makes of ${known}, got ${source}`)
  }

  return {
    print,
    read(text) {
      const parts = text.split(';').map((part) => /^stage(\d+)=(.*)$/.exec(part))
      const groups = parts.map((part) => part?.[2]?.split('+') ?? [])
      const isForm =
        parts.every((part, stage) => part?.[1] === String(stage + 1)) &&
        groups.map(({ length }) => length).join() === stages.map(({ length }) => length).join() &&
        groups.flat().every((group) => /^\|([a-z]+~\d+\|)*$/.test(group))
      if (!isForm)
        refuse(`expected an architecture of the form ${print(decisions.map(({ options }) => options.length - 1))}, got "${text}"`)
      const names = new Map<number, string>()
      for (const [stage, readers] of stages.entries()) {
        for (const [index, reader] of readers.entries()) {
          for (const read of groups[stage]?.[index]?.split('|').filter((one) => one !== '') ?? []) {
            const [name = '', source] = read.split('~')
            const { decision } = edgeOf(reader, Number(source))
            if (names.has(decision)) refuse(`${reader.name} reads ${source} twice`)
            names.set(decision, name)
          }
        }
      }
      return decisions.map((decision: Decision, index) => findOption(decision, index, names.get(index) ?? NONE))
    },
  }
}

export { aggregationEncoding }
