"""The words of the simulator: values that hold no behaviour of the engine. Imports nothing of ours
but `errors`."""
