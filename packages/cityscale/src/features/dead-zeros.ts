/**
 * SQL of values with whether each lies in a run of zeros that, seen as a whole and afterwards, is a dead counter's.
 * Scores leave those out and say so; features never see this.
 *
 * @param source SQL of rows (e, t, y); runs that reach beyond it end where it ends
 * @param stuckSteps zeros in a row that a living counter does not have
 * @returns SQL of rows (e, t, y, dead)
 */
export const deadZerosSql = (source: string, stuckSteps: number) => `
    WITH near AS (${source}), living AS (
      SELECT e, t FROM near WHERE y > 0
      UNION ALL SELECT e, unnest([min(t) - 1, max(t) + 1]) FROM near GROUP BY e
    ), dead AS (
      SELECT e, t AS after_t, next AS before_t
      FROM (SELECT e, t, lead(t) OVER (PARTITION BY e ORDER BY t) AS next FROM living)
      WHERE next - t - 1 >= ${stuckSteps}
    )
    SELECT n.e, n.t, n.y, n.y = 0 AND COALESCE(n.t < d.before_t, false) AS dead
    FROM near n ASOF LEFT JOIN dead d ON d.e = n.e AND n.t > d.after_t`;
