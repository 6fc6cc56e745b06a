// The agent tokens that are good for a search or a training. Every object that agents talk to holds the list, so that none has to ask
// another.

import { type Caller, ProblemError, type TokenRecord } from '../../protocol/index.ts'

type TokenTable = {
  add(token: TokenRecord): void
  has(tokenId: string): boolean
  remove(tokenId: string): void
  list(): { tokenId: string; label: string; createdAtMs: number }[]
  /** Throws ProblemError `unauthorized` unless the caller is an admin or shows a token of this table. */
  check(caller: Caller): void
}

/** In an object whose tables are there. */
function createTokenTable(sql: SqlStorage): TokenTable {
  const read = () => {
    const rows = sql.exec<{ token_id: string; hash: ArrayBuffer; label: string; created_at_ms: number }>(
      'SELECT * FROM tokens ORDER BY created_at_ms, token_id',
    )
    return new Map(
      rows
        .toArray()
        .map((row) => [
          row.token_id,
          { tokenId: row.token_id, hash: new Uint8Array(row.hash), label: row.label, createdAtMs: row.created_at_ms },
        ]),
    )
  }
  let tokens: Map<string, TokenRecord> = read()
  return {
    add({ tokenId, hash, label, createdAtMs }) {
      sql.exec(
        'INSERT OR REPLACE INTO tokens (token_id, hash, label, created_at_ms) VALUES (?, ?, ?, ?)',
        tokenId,
        hash.slice().buffer,
        label,
        createdAtMs,
      )
      tokens = read()
    },
    has: (tokenId) => tokens.has(tokenId),
    remove(tokenId) {
      sql.exec('DELETE FROM tokens WHERE token_id = ?', tokenId)
      tokens = read()
    },
    list: () => [...tokens.values()].map(({ tokenId, label, createdAtMs }) => ({ tokenId, label, createdAtMs })),
    check(caller) {
      if (caller.kind === 'admin') return
      const known = tokens.get(caller.tokenId)
      if (!known || known.hash.length !== caller.hash.length || !crypto.subtle.timingSafeEqual(known.hash, caller.hash)) {
        throw new ProblemError('unauthorized', 'this token is not, or no longer, good for this work')
      }
    },
  }
}

export { createTokenTable, type TokenTable }
