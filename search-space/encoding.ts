// An architecture as one readable, stable line: the space's name, a colon, and the names of its options as its family writes
// them, as in `fashion-mini:mb3k5,zero,mb6k3`. Parsing what was printed gives the same path, and the other way round.

import { assertPath, type Decision, type Encoding, type Path, type Space, SpaceError } from './space.ts'

/** The index of an option by its name. Throws SpaceError `encoding` where there is none. */
function findOption({ name, options }: Decision, index: number, text: string | undefined): number {
  const option = options.findIndex((candidate) => candidate.name === text)
  if (option !== -1) return option
  const known = options.map((candidate) => candidate.name).join(', ')
  throw new SpaceError('encoding', `architecture[${index}]`, `expected one of ${known} for ${name}, got "${text}"`)
}

/** Names with commas between them, in the order of the decisions. */
function commaEncoding(decisions: readonly Decision[]): Encoding {
  return {
    print: (path) => decisions.map(({ options }, index) => options[path[index] as number]?.name).join(','),
    read(text) {
      const names = text.split(',')
      if (names.length !== decisions.length) {
        throw new SpaceError('encoding', 'architecture', `expected ${decisions.length} options, one per decision, got ${names.length}`)
      }
      return decisions.map((decision, index) => findOption(decision, index, names[index]))
    },
  }
}

/** Throws SpaceError `choices` if the path is not of this space. */
function printArchitecture(space: Space, path: Path): string {
  assertPath(space, path)
  return `${space.name}:${space.encoding.print(path)}`
}

/** Throws SpaceError `encoding`, naming the decision, if the text is not an architecture of this space. */
function parseArchitecture(space: Space, text: string): number[] {
  const colon = text.indexOf(':')
  const name = text.slice(0, Math.max(colon, 0))
  if (name !== space.name) {
    throw new SpaceError('encoding', 'architecture', `expected an architecture that starts with "${space.name}:", got "${text}"`)
  }
  return space.encoding.read(text.slice(colon + 1))
}

export { commaEncoding, findOption, parseArchitecture, printArchitecture }
