"""The messages of results as `rosbags` has them, made and serialised like rclpy's; and their QoS."""
import copy
from typing import Any, Dict, Tuple

import numpy as np
from rosbags.interfaces import Nodetype, Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from ..ros.sink import MessageTypes

# Of vision_msgs, which rosbags does not have.
_DEFINITIONS = {
    'vision_msgs/msg/VisionClass': 'uint16 class_id\nstring class_name\n',
    'vision_msgs/msg/LabelInfo': 'std_msgs/Header header\nvision_msgs/VisionClass[] class_map\nfloat32 threshold\n',
}
_PACKAGES = {'Time': 'builtin_interfaces', 'Header': 'std_msgs', 'String': 'std_msgs', 'LabelInfo': 'vision_msgs',
             'VisionClass': 'vision_msgs'}
_FOREVER = QosTime(9223372036, 854775807)


def qos(latched: bool) -> Qos:
    """Return the QoS of the nodes' publishers."""
    durability = QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE
    return Qos(QosHistory.KEEP_LAST, 1, QosReliability.RELIABLE, durability, _FOREVER, _FOREVER,
               QosLiveliness.AUTOMATIC, _FOREVER, False)


class BagTypes:
    """Definitions of messages.

    Attributes:
        store: of rosbags, where they are registered.
        types: classes that are made with keyword arguments, fields that are not given being zero.
    """

    def __init__(self) -> None:
        self.store = get_typestore(Stores.LATEST)
        for name, text in _DEFINITIONS.items():
            self.store.register(get_types_from_msg(text, name))
        self._classes: Dict[str, Any] = {}
        self.types = MessageTypes(**{each: self._class('{}/msg/{}'.format(_PACKAGES.get(each, 'sensor_msgs'), each))
                                     for each in MessageTypes._fields})

    def serialize(self, message: Any) -> bytes:
        """Return a message as CDR."""
        whole = copy.copy(message)
        for name, description in self.store.fielddefs[message.__msgtype__][1]:
            dtype = _numbers(description)
            if dtype:  # rclpy accepts any sequence of numbers, rosbags only arrays.
                value = getattr(message, name)
                setattr(whole, name, np.frombuffer(value, dtype) if isinstance(value, (bytes, bytearray)) else
                        np.asarray(value, dtype))
        return bytes(self.store.serialize_cdr(whole, message.__msgtype__))

    def deserialize(self, data: bytes, kind: str) -> Any:
        """Return the message of CDR bytes."""
        return self.store.deserialize_cdr(data, kind)

    def _class(self, name: str) -> Any:
        if name not in self._classes:
            fields = [(field, self._default(description)) for field, description in self.store.fielddefs[name][1]]
            base: Any = self.store.types[name]

            def construct(self: Any, **values: Any) -> None:
                base.__init__(self, **dict({field: make() for field, make in fields}, **values))

            self._classes[name] = type(base.__name__, (base,), {'__init__': construct})
        return self._classes[name]

    def _default(self, description: Tuple[Any, Any]) -> Any:
        """Return a function that makes the zero of a field."""
        kind, detail = description
        if kind == Nodetype.NAME:
            return self._class(detail)
        dtype = _numbers(description)
        if dtype:
            return lambda: np.zeros(detail[1] if kind == Nodetype.ARRAY else 0, dtype)
        if kind == Nodetype.BASE:
            return {'string': str, 'bool': bool, 'float32': float, 'float64': float}.get(detail[0], int)
        return list


def _numbers(description: Tuple[Any, Any]) -> str:
    """Return the type of the numbers in an array or a sequence; '' for everything else."""
    kind, detail = description
    if kind in (Nodetype.ARRAY, Nodetype.SEQUENCE) and detail[0][0] == Nodetype.BASE and detail[0][1][0] != 'string':
        return str(detail[0][1][0])
    return ''
