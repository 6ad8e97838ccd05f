"""AlwaysAdmit: does nothing; kept because flags of old name it."""

from pybernetes.apiserver.extension import Admission

ADMISSION = Admission(name="AlwaysAdmit", order=10, default_on=False)
