// Lists with members that the coordinator cannot read: these are shown behind the others, each with its reason.

import type { Unreadable, UnreadableTable } from '../protocol/index.ts'
import { printTime } from './quantities.ts'
import { printable, renderTable } from './text-layout.ts'

/** What a coordinator lists, newest first. */
type Listed<T> = { readonly members: readonly T[]; readonly unreadable: readonly Unreadable[] }

/** As a list prints them in JSON. */
function unreadableJson(idField: string, { unreadable }: Listed<unknown>): Record<string, unknown>[] {
  return unreadable.map(({ id, createdAtMs, reason }) => ({ [idField]: id, createdAtMs, unreadable: reason }))
}

/** Below a list; `command` deletes one of them. */
function renderUnreadable(list: string, { unreadable }: Listed<unknown>, command: string): string {
  if (unreadable.length === 0) return list
  const table = renderTable(
    [{ title: 'id' }, { title: 'created' }, { title: 'why the coordinator cannot read it' }],
    unreadable.map(({ id, createdAtMs, reason }) => [id, printTime(createdAtMs), printable(reason)]),
  )
  return `${list}\n\n${table}\n"${command}" deletes one`
}

function renderUnreadableTables(list: string, unreadable: readonly UnreadableTable[]): string {
  return [list, ...unreadable.map(({ name, reason }) => `table ${printable(name)} cannot be read: ${printable(reason)}`)].join('\n')
}

/** Ids of all members, newest first. */
function idsOf<T extends { readonly createdAtMs: number }>({ members, unreadable }: Listed<T>, idOf: (member: T) => string): string[] {
  const readable = members.map((member) => ({ id: idOf(member), createdAtMs: member.createdAtMs }))
  return [...readable, ...unreadable].toSorted((a, b) => b.createdAtMs - a.createdAtMs).map(({ id }) => id)
}

export { idsOf, type Listed, renderUnreadable, renderUnreadableTables, unreadableJson }
