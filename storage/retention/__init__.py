"""How long recordings are kept: policy, plan, real elapsed time, forecast, holds, erasure and its certificate."""
